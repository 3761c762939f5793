package proc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// enclosed runs what proc.Contain would have start contain, without doing it for the other
// tests of the process: the walls are the Spec's alone.
func enclosed(t *testing.T) *Landlock {
	t.Helper()
	l, err := OpenLandlock()
	if errors.Is(err, ErrNoLandlock) {
		t.Skipf("this kernel cannot: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// trees makes a directory for a tenant and one beside it that everybody may read and write.
func trees(t *testing.T, who Identity) (own, foreign string) {
	t.Helper()
	base, err := os.MkdirTemp("", "wptk-walls-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	own, foreign = filepath.Join(base, "own"), filepath.Join(base, "foreign")
	for _, dir := range []string{own, foreign} {
		if err := errors.Join(os.Mkdir(dir, 0o777), os.Chmod(dir, 0o777), os.WriteFile(filepath.Join(dir, "file"), []byte("text of "+filepath.Base(dir)), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	if asRoot() {
		if err := os.Chown(own, int(who.UID), int(who.GID)); err != nil {
			t.Fatal(err)
		}
	}
	return own, foreign
}

func TestEnclosedRunReachesItsOwnFilesAndThoseOfTheSystemOnly(t *testing.T) {
	t.Parallel()
	s := shell("", "")
	own, foreign := trees(t, s.As)
	s.As.Tree, s.within = "/nonexistent:"+own, &Containment{Landlock: enclosed(t)}
	try := func(name, script string, want bool) {
		t.Helper()
		s.Args = []string{"-c", "own=$1 foreign=$2; " + script, "sh", own, foreign}
		exit, err := Run(t.Context(), s)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if (exit.Code == 0) != want {
			t.Errorf("%s: exit status %d, want success: %v", name, exit.Code, want)
		}
	}
	try("reads its own file", `cat $own/file`, true)
	try("writes, moves and removes in its own tree", `mkdir $own/a $own/b && echo x > $own/a/f && mv $own/a/f $own/b/g && rm -r $own/a $own/b`, true)
	try("reads the system", `cat /etc/passwd && ls /usr/bin && echo x > /dev/null`, true)
	try("reads a foreign file that everybody may read", `cat $foreign/file`, false)
	try("lists a foreign directory", `ls $foreign`, false)
	try("writes a foreign file that everybody may write", `echo x > $foreign/file`, false)
	try("truncates one", `: >> $foreign/file`, false)
	try("makes a file in a foreign directory that everybody may write", `touch $foreign/new`, false)
	try("follows a link out", `ln -s $foreign/file $own/link; cat $own/link`, false)
	try("reads the temporary directory of all", `ls /tmp`, false)
	try("writes into the system", `touch /dev/shm/wptk-walls`, false)
	try("hands it down to what it starts", `sh -c "setsid cat $foreign/file"`, false)
	if text, err := os.ReadFile(filepath.Join(foreign, "file")); err != nil || string(text) != "text of foreign" {
		t.Errorf("the foreign file is now %q, %v", text, err)
	}
}

func TestEnclosedRunDoesNotGetWhatALinkInPlaceOfItsTreeLeadsTo(t *testing.T) {
	t.Parallel()
	s := shell("", "")
	own, foreign := trees(t, s.As)
	link := filepath.Join(own, "home")
	if err := os.Symlink(foreign, link); err != nil {
		t.Fatal(err)
	}
	s.As.Tree, s.within = link, &Containment{Landlock: enclosed(t)}
	s.Args = []string{"-c", "cat " + foreign + "/file"}
	if exit, err := Run(t.Context(), s); err != nil || exit.Code == 0 {
		t.Errorf("%+v, %v", exit, err)
	}
}

func TestEnclosedRunSignalsNobodyElse(t *testing.T) {
	t.Parallel()
	l := enclosed(t)
	if l.ABI() < 6 {
		t.Skipf("this kernel's landlock (%d) does not know signals", l.ABI())
	}
	other := shell("sleep 60")
	victim, err := Start(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = victim.Stop(context.Background()) }()
	s := shell("kill -0 " + itoa(victim.PID()))
	s.As = other.As
	if exit, err := Run(t.Context(), s); err != nil || exit.Code != 0 {
		t.Fatalf("without walls: %+v, %v", exit, err)
	}
	s.within = &Containment{Landlock: l}
	if exit, err := Run(t.Context(), s); err != nil || exit.Code == 0 {
		t.Errorf("within walls: %+v, %v", exit, err)
	}
}

func init() {
	Register("test.read", func(_ context.Context, in json.RawMessage, _ io.Writer) (any, error) {
		var path string
		if err := json.Unmarshal(in, &path); err != nil {
			return nil, err
		}
		var text []byte
		var err error
		done := make(chan struct{})
		go func() { // on any thread
			defer close(done)
			text, err = os.ReadFile(path)
		}()
		<-done
		return string(text), err
	})
}

func TestEnclosedCallIsEnclosedInAllItsThreads(t *testing.T) {
	t.Parallel()
	who := tenant()
	own, foreign := trees(t, who)
	within := &Containment{Landlock: enclosed(t)}
	keep, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	read := func(path string) (text string, err error) {
		opt := CallOptions{Writable: []string{own}, Keep: []*os.File{keep}, within: within, Input: strings.NewReader("more")}
		err = Call(t.Context(), who, opt, "test.read", path, &text)
		return text, err
	}
	if text, err := read(filepath.Join(own, "file")); text != "text of own" || err != nil {
		t.Errorf("its own file: %q, %v", text, err)
	}
	if text, err := read(filepath.Join(foreign, "file")); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a foreign file: %q, %v", text, err)
	}
}

func TestRightsAreThoseThatTheKernelKnows(t *testing.T) {
	t.Parallel()
	for abi, want := range map[int]uint64{2: 0x3fff, 3: 0x7fff, 4: 0x7fff, 5: 0xffff, 7: 0xffff} {
		if got := rightsOf(abi); got != want || (abi < 3) == (got&unix.LANDLOCK_ACCESS_FS_TRUNCATE != 0) {
			t.Errorf("version %d: %x, want %x", abi, got, want)
		}
	}
}
