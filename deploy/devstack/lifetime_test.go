package devstack_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp/proc"
)

// miniEnv makes the test binary a program that starts a Redis and then only waits.
const miniEnv = "WPTK_DEVSTACK_TEST_PARENT"

func TestMain(m *testing.M) {
	proc.Main()
	if os.Getenv(miniEnv) != "" {
		if err := mini(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		select {}
	}
	os.Exit(devstack.Main(m))
}

func mini() error {
	s, err := devstack.Redis(context.Background(), devstack.RedisOptions{})
	if err != nil {
		return err
	}
	fmt.Println(s.PID(), s.Dir)
	return nil
}

func TestServerDiesWithItsKilledParentAndItsFolderIsSwept(t *testing.T) {
	t.Parallel()
	// A temporary folder of its own, so that parallel tests' sweeps do not come first.
	tmp, err := os.MkdirTemp("", "devstack-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	if err := os.Chmod(tmp, 0o711); err != nil {
		t.Fatal(err)
	}
	start := func() (parent *os.Process, pid int, dir string) {
		out, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		parent, err = os.StartProcess("/proc/self/exe", []string{"mini"}, &os.ProcAttr{
			Env:   []string{miniEnv + "=1", "TMPDIR=" + tmp, "PATH=" + os.Getenv("PATH")},
			Files: []*os.File{nil, w, os.Stderr},
		})
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { parent.Kill(); parent.Wait() })
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		first, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		if pid, err = strconv.Atoi(first); err != nil || pid == 0 {
			t.Fatalf("pid %q: %v", first, err)
		}
		return parent, pid, dir
	}
	parent, pid, left := start()
	redis, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(redis)
	if err := parent.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, redis)
	if _, err := os.Stat(left); err != nil {
		t.Fatalf("nothing left to sweep: %v", err)
	}
	_, _, inUse := start()
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("left-over folder is still there: %v", err)
	}
	_, _, _ = start()
	if _, err := os.Stat(filepath.Join(inUse, "lock")); err != nil {
		t.Errorf("the folder of a living server was swept: %v", err)
	}
}

// awaitEnd returns when the process of a pidfd has ended; it may be a stranger's child.
func awaitEnd(t *testing.T, pidfd int) {
	t.Helper()
	const limit = 20 * 1000 // ms
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, limit)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			t.Fatal(err)
		case n == 0:
			t.Fatal("the server outlived its parent")
		}
		return
	}
}

func TestPasswordsAreInNoProcessList(t *testing.T) {
	t.Parallel()
	for _, s := range []*devstack.Server{devstack.RedisT(t), devstack.MariaDBT(t)} {
		for _, file := range []string{"cmdline", "environ"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.PID(), file))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), s.Password) {
				t.Errorf("password in %s of %s", file, s.Dir)
			}
		}
	}
}

func TestRootsServersRunWithoutRights(t *testing.T) {
	t.Parallel()
	for _, s := range []*devstack.Server{devstack.RedisT(t), devstack.MariaDBT(t)} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), "\nUid:")
		uid := strings.Fields(rest)[0]
		if uid == "0" {
			t.Errorf("%s runs as root", s.Dir)
		}
	}
}

func TestStopRemovesTheFolder(t *testing.T) {
	t.Parallel()
	s, err := devstack.Redis(t.Context(), devstack.RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("folder %s: %v", s.Dir, err)
	}
}

func TestSharedDatabaseIsEmptyForTheNextTest(t *testing.T) {
	t.Parallel()
	for range 3 {
		t.Run("user", func(t *testing.T) {
			c := redisClient(t, devstack.SharedRedis(t))
			if n := c.DBSize(t.Context()).Val(); n != 0 {
				t.Fatalf("%d keys of somebody else", n)
			}
			if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestTwoSharedUsersDoNotMeet(t *testing.T) {
	t.Parallel()
	a, b := devstack.SharedRedis(t), devstack.SharedRedis(t)
	if a == b {
		t.Fatalf("both got %s", a)
	}
}
