package proc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Func runs in a short-lived child as the tenant. It gets the request as JSON and returns
// something that encodes as JSON. Lines written to out reach CallOptions.Progress. ctx ends
// on SIGTERM.
type Func = func(ctx context.Context, in json.RawMessage, out io.Writer) (any, error)

// CallOptions bound one Call. The zero value is usable.
type CallOptions struct {
	Timeout   time.Duration // 0: as ctx says
	Limits    Limits
	Keep      []*os.File        // held open while the function runs; it cannot see them
	Progress  func(line []byte) // called from one goroutine; a line is cut at 64 KiB
	MaxAnswer int64             // bytes of JSON; 0 is DefaultMaxAnswer
	// Input is a stream that the function reads with Input; it meets its end only when all of
	// it was given. Output gets the bytes that the function writes to out, in place of Progress.
	Input   io.Reader
	Output  io.Writer
	Started func(Record) error
	// Writable is that of Spec.
	Writable []string

	within *Containment
}

// DefaultMaxAnswer is the largest answer that is read from a Call.
const DefaultMaxAnswer = 64 << 20

const (
	maxProgressLine = 64 << 10
	maxCallStderr   = 8 << 10
)

// ErrAnswerTooLarge says that the function's answer was longer than CallOptions.MaxAnswer.
var ErrAnswerTooLarge = errors.New("answer too large")

var registry = map[string]Func{}

// Register names a function for Call. It is for init functions; a name taken twice panics,
// as that is a mistake in the program and not in its input.
func Register(name string, fn Func) {
	if _, taken := registry[name]; taken {
		panic("proc: function registered twice: " + name)
	}
	registry[name] = fn
}

type callRequest struct {
	Name string
	In   json.RawMessage
}

type callAnswer struct {
	Error *RemoteError    `json:",omitempty"`
	Out   json.RawMessage `json:",omitempty"`
}

// Call runs a registered function in a child process as the tenant and decodes its result
// into out (nil: dropped). Errors of the function come back as *RemoteError and match
// fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrInvalid, syscall.ENOSPC, EDQUOT and
// ENAMETOOLONG.
//
// The child belongs to the tenant, whose other processes may meddle with it: the answer is
// the tenant's word, to be checked like any input.
func Call(ctx context.Context, as Identity, opt CallOptions, name string, in, out any) error {
	err := call(ctx, as, opt, name, in, out)
	if err != nil {
		return fmt.Errorf("calling %s: %w", name, err)
	}
	return nil
}

func call(ctx context.Context, as Identity, opt CallOptions, name string, in, out any) error {
	if registry[name] == nil {
		return fmt.Errorf("%w: no such function", ErrInvalid)
	}
	if opt.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, opt.Timeout)
		defer cancel()
	}
	request, err := encodeRequest(name, in)
	if err != nil {
		return err
	}
	answer := &limitWriter{max: opt.MaxAnswer}
	if answer.max == 0 {
		answer.max = DefaultMaxAnswer
	}
	stderr := Capped(maxCallStderr)
	spec := &Spec{
		Path: selfExe, Env: callEnv(as), As: as, Limits: opt.Limits, Keep: opt.Keep, Started: opt.Started, Writable: opt.Writable, within: opt.within,
		Stdin: bytes.NewReader(request), Stderr: stderr, Grace: time.Second,
	}
	if opt.Input != nil {
		spec.Stdin, spec.StdinWhole = io.MultiReader(spec.Stdin, opt.Input), true
	}
	lines := &lineWriter{emit: opt.Progress, max: maxProgressLine}
	switch {
	case opt.Output != nil:
		spec.Stdout = opt.Output
	case opt.Progress != nil:
		spec.Stdout = lines
	}
	p, err := start(ctx, spec, answer)
	if err != nil {
		return err
	}
	<-p.done
	lines.flush()
	if p.err != nil {
		return p.err
	}
	return decodeAnswer(answer.buf.Bytes(), p.exit, stderr, out)
}

func encodeRequest(name string, in any) ([]byte, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encoding request: %w", err)
	}
	request, err := json.Marshal(callRequest{Name: name, In: body})
	if err != nil {
		return nil, fmt.Errorf("encoding request: %w", err)
	}
	return request, nil
}

func decodeAnswer(b []byte, exit Exit, stderr *Output, out any) error {
	var answer callAnswer
	if err := json.Unmarshal(b, &answer); err != nil {
		return fmt.Errorf("no valid answer (exit %d, signal %v, stderr %q): %w", exit.Code, exit.Signal, CleanText(stderr.Bytes()), err)
	}
	if answer.Error != nil {
		answer.Error.Code = CleanText([]byte(answer.Error.Code))
		answer.Error.Message = CleanText([]byte(answer.Error.Message))
		return answer.Error
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Out, out); err != nil {
		return fmt.Errorf("decoding answer: %w", err)
	}
	return nil
}

func callEnv(as Identity) []string {
	env := []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"}
	if as.Home != "" {
		env = append(env, "HOME="+as.Home)
	}
	return env
}

// serveCall is the life of the child of a Call; it returns its exit status. Its request is
// on stdin, the answer goes to descriptor 3, progress to stdout.
func serveCall() int {
	o, gate, f := enter()
	if f == nil {
		if err := applyLimits(o.Limits); err != nil {
			f = failed(stageLimits, err)
		}
	}
	if f != nil {
		_ = json.NewEncoder(gate).Encode(f)
		return exitHelper
	}
	unix.Close(int(gate))
	for fd := range o.Keep {
		unix.CloseOnExec(controlFD + fd)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	result, err := callRegistered(ctx, os.Stdin, os.Stdout)
	answer := callAnswer{Error: remote(err)}
	if err == nil {
		if answer.Out, err = json.Marshal(result); err != nil {
			answer = callAnswer{Error: remote(fmt.Errorf("encoding answer: %w", err))}
		}
	}
	if err := json.NewEncoder(rawFD(controlFD)).Encode(answer); err != nil {
		fmt.Fprintln(os.Stderr, "sending answer:", err)
		return exitHelper
	}
	return 0
}

func callRegistered(ctx context.Context, in io.Reader, out io.Writer) (result any, err error) {
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(os.Stderr, "%s\n", debug.Stack())
			err = &RemoteError{Code: CodePanic, Message: fmt.Sprint(v)}
		}
	}()
	var request callRequest
	decoder := json.NewDecoder(in)
	if err := decoder.Decode(&request); err != nil {
		return nil, fmt.Errorf("reading request: %w", err)
	}
	ctx = context.WithValue(ctx, inputKey{}, io.MultiReader(decoder.Buffered(), in))
	fn := registry[request.Name]
	if fn == nil {
		return nil, fmt.Errorf("no function %q", request.Name)
	}
	return fn(ctx, request.In, out)
}

type inputKey struct{}

// Input is what the caller of a function gives it by CallOptions.Input; empty without one.
func Input(ctx context.Context) io.Reader {
	if r, ok := ctx.Value(inputKey{}).(io.Reader); ok {
		return r
	}
	return strings.NewReader("")
}

// RemoteError is a function's error on the caller's side. A function may return one itself
// to choose the code.
type RemoteError struct {
	Code    string
	Message string
}

// Codes of RemoteError that stand for errors of the standard library.
const (
	CodeNotExist   = "not_exist"
	CodeExist      = "exist"
	CodePermission = "permission"
	CodeNoSpace    = "no_space"
	CodeQuota      = "quota"
	CodeTooLong    = "too_long"
	CodeInvalid    = "invalid"
	CodePanic      = "panic"
	CodeOther      = "error"
)

// remoteCodes is in order of preference: the first match gives the code.
var remoteCodes = []struct {
	code string
	is   error
}{
	{CodeNoSpace, syscall.ENOSPC},
	{CodeQuota, syscall.EDQUOT},
	{CodeNotExist, fs.ErrNotExist},
	{CodeExist, fs.ErrExist},
	{CodePermission, fs.ErrPermission},
	{CodeTooLong, syscall.ENAMETOOLONG},
	{CodeInvalid, fs.ErrInvalid},
}

func (e *RemoteError) Error() string { return e.Message }

// Is makes errors.Is hold across the process boundary.
func (e *RemoteError) Is(target error) bool {
	for _, c := range remoteCodes {
		if c.code == e.Code && c.is == target {
			return true
		}
	}
	return false
}

func remote(err error) *RemoteError {
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[*RemoteError](err); ok {
		return &RemoteError{Code: own.Code, Message: err.Error()}
	}
	for _, c := range remoteCodes {
		if errors.Is(err, c.is) {
			return &RemoteError{Code: c.code, Message: err.Error()}
		}
	}
	return &RemoteError{Code: CodeOther, Message: err.Error()}
}
