package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

type echoRequest struct {
	Text   string
	Errno  syscall.Errno
	Panic  bool
	Block  bool
	Repeat int
}

func init() {
	Register("test.echo", func(ctx context.Context, in json.RawMessage, out io.Writer) (any, error) {
		var r echoRequest
		if err := json.Unmarshal(in, &r); err != nil {
			return nil, err
		}
		switch {
		case r.Panic:
			panic("boom")
		case r.Errno != 0:
			return nil, fmt.Errorf("touching: %w", &fs.PathError{Op: "open", Path: "\x1b[31mx", Err: r.Errno})
		case r.Block:
			fmt.Fprintln(out, "up")
			<-ctx.Done()
			return nil, ctx.Err()
		}
		for i := range 3 {
			fmt.Fprintln(out, "step", i)
		}
		return echoRequest{Text: strings.Repeat(r.Text, r.Repeat), Repeat: os.Getuid()}, nil
	})
}

func init() {
	Register("test.turn", func(ctx context.Context, _ json.RawMessage, out io.Writer) (any, error) {
		n, err := io.Copy(out, Input(ctx))
		return n, err
	})
}

func TestCallPassesStreams(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789", 1<<18)
	var out strings.Builder
	var n int64
	opt := CallOptions{Input: strings.NewReader(text), Output: &out}
	if err := Call(t.Context(), tenant(), opt, "test.turn", nil, &n); err != nil {
		t.Fatal(err)
	}
	if out.String() != text || n != int64(len(text)) {
		t.Errorf("%d bytes came back, %d were read, of %d", out.Len(), n, len(text))
	}
}

func TestCallReturnsTheAnswerOfTheTenantsChild(t *testing.T) {
	t.Parallel()
	id, lines := tenant(), []string(nil)
	opt := CallOptions{Progress: func(b []byte) { lines = append(lines, string(b)) }}
	var out echoRequest
	if err := Call(t.Context(), id, opt, "test.echo", echoRequest{Text: "ä\x00", Repeat: 2}, &out); err != nil {
		t.Fatal(err)
	}
	if want := (echoRequest{Text: "ä\x00ä\x00", Repeat: os.Getuid()}); asRoot() {
		want.Repeat = int(id.UID)
		if out != want {
			t.Errorf("answer %+v, want %+v", out, want)
		}
	} else if out != want {
		t.Errorf("answer %+v, want %+v", out, want)
	}
	if got := strings.Join(lines, ","); got != "step 0,step 1,step 2" {
		t.Errorf("progress %q", got)
	}
}

func TestErrorsKeepTheirMeaningAcrossACall(t *testing.T) {
	t.Parallel()
	for errno, want := range map[syscall.Errno]error{
		syscall.ENOENT: fs.ErrNotExist, syscall.EEXIST: fs.ErrExist, syscall.EACCES: fs.ErrPermission,
		syscall.ENOSPC: syscall.ENOSPC, syscall.EDQUOT: syscall.EDQUOT, syscall.ENAMETOOLONG: syscall.ENAMETOOLONG,
	} {
		err := Call(t.Context(), tenant(), CallOptions{}, "test.echo", echoRequest{Errno: errno}, nil)
		remote, ok := errors.AsType[*RemoteError](err)
		if !ok || !errors.Is(err, want) || strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%v came back as %q (%+v)", errno, err, remote)
		}
		if !errors.Is(want, fs.ErrExist) && errors.Is(err, fs.ErrExist) {
			t.Errorf("%v matches fs.ErrExist too", errno)
		}
	}
}

func TestAPanicInACallIsAnError(t *testing.T) {
	t.Parallel()
	err := Call(t.Context(), tenant(), CallOptions{}, "test.echo", echoRequest{Panic: true}, nil)
	if remote, ok := errors.AsType[*RemoteError](err); !ok || remote.Code != CodePanic || remote.Message != "boom" {
		t.Errorf("err = %v", err)
	}
}

func TestAnAnswerThatIsTooLargeEndsTheCall(t *testing.T) {
	t.Parallel()
	err := Call(t.Context(), tenant(), CallOptions{MaxAnswer: 1000}, "test.echo", echoRequest{Text: "x", Repeat: 1 << 20}, nil)
	if !errors.Is(err, ErrAnswerTooLarge) {
		t.Errorf("err = %v", err)
	}
}

func TestACallEndsWithItsTimeoutOrContext(t *testing.T) {
	t.Parallel()
	err := Call(t.Context(), tenant(), CallOptions{Timeout: 300 * time.Millisecond}, "test.echo", echoRequest{Block: true}, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	opt := CallOptions{Progress: func([]byte) { cancel() }}
	err = Call(ctx, tenant(), opt, "test.echo", echoRequest{Block: true}, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestUnknownFunctionsAndRootAreRefused(t *testing.T) {
	t.Parallel()
	if err := Call(t.Context(), tenant(), CallOptions{}, "test.none", nil, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("err = %v", err)
	}
	if err := Call(t.Context(), Identity{UID: 33, GID: 33}, CallOptions{}, "test.echo", nil, nil); !errors.Is(err, ErrIdentity) {
		t.Errorf("err = %v", err)
	}
}

const forgetfulArg = "forgetful"

// forgetful is a binary that does not call Main.
func forgetful() {
	mainCalled.Store(false)
	err := Call(context.Background(), tenant(), CallOptions{}, "test.echo", nil, nil)
	fmt.Print(errors.Is(err, ErrNoMain))
}

// Without Main a child would run the whole program once more, as the tenant.
func TestABinaryWithoutMainStartsNoChildren(t *testing.T) {
	t.Parallel()
	self, err := os.Readlink(selfExe)
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, Spec{Path: self, Args: []string{forgetfulArg}, Trusted: true}); got != "true" {
		t.Errorf("refused with ErrNoMain: %s", got)
	}
}
