package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// What a refusal can be, for errors.Is. The text after it is when to expect it.
var (
	ErrInvalid             = errors.New("invalid request")                 // 400: see Details
	ErrUnauthorized        = errors.New("no valid API key")                // 401
	ErrForbidden           = errors.New("not allowed with this key")       // 403
	ErrNotFound            = errors.New("not found")                       // 404: also what is somebody else's
	ErrMethodNotAllowed    = errors.New("method not allowed")              // 405
	ErrConflict            = errors.New("conflict")                        // 409: see OperationID or ID
	ErrTooLarge            = errors.New("request too large")               // 413
	ErrMediaType           = errors.New("unsupported media type")          // 415
	ErrIdempotencyMismatch = errors.New("idempotency key was used before") // 422: with another request
	ErrRateLimited         = errors.New("rate limit reached")              // 429: after MaxRetryAfter
	ErrInternal            = errors.New("internal error")                  // 500: report RequestID
	ErrUnavailable         = errors.New("unavailable")                     // 502, 503, 504: nothing was done
)

var byStatus = map[int]error{
	http.StatusBadRequest:            ErrInvalid,
	http.StatusUnauthorized:          ErrUnauthorized,
	http.StatusForbidden:             ErrForbidden,
	http.StatusNotFound:              ErrNotFound,
	http.StatusMethodNotAllowed:      ErrMethodNotAllowed,
	http.StatusConflict:              ErrConflict,
	http.StatusRequestEntityTooLarge: ErrTooLarge,
	http.StatusUnsupportedMediaType:  ErrMediaType,
	http.StatusUnprocessableEntity:   ErrIdempotencyMismatch,
	http.StatusTooManyRequests:       ErrRateLimited,
	http.StatusInternalServerError:   ErrInternal,
	http.StatusBadGateway:            ErrUnavailable,
	http.StatusServiceUnavailable:    ErrUnavailable,
	http.StatusGatewayTimeout:        ErrUnavailable,
}

// Error is a refusal of the API.
type Error struct {
	Status      int       `json:"status"`       // of HTTP
	Code        string    `json:"code"`         // stable; empty when a proxy answered
	Summary     string    `json:"error"`        // what is wrong, for people
	Message     string    `json:"message"`      // the same, or longer
	Hint        string    `json:"hint"`         // what to do about it
	RequestID   string    `json:"request_id"`   // to be quoted when asking for help
	OperationID string    `json:"operation_id"` // the operation in the way
	ID          string    `json:"id"`           // the install in the way
	Details     []Problem `json:"details"`      // everything that is wrong with the request

	// RetryAfter is when trying again makes sense; 0 when it does not.
	RetryAfter time.Duration `json:"-"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d %s)", e.Message, e.Status, e.Code) }

// Is makes errors.Is(err, ErrNotFound) and the like work.
func (e *Error) Is(target error) bool { return target != nil && byStatus[e.Status] == target }

// refusal reads an answer with a status of 300 or more. It may come from a proxy
// that knows nothing of envelopes.
func refusal(res *http.Response, raw []byte) *Error {
	e := &Error{}
	if json.Unmarshal(raw, e) != nil || e.Message == "" && e.Summary == "" {
		e = &Error{Message: "the answer is not from a toolkit API: " + res.Status}
	}
	if e.Message == "" {
		e.Message = e.Summary
	}
	e.Status = res.StatusCode
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.RetryAfter = time.Second
	}
	// A conflict may pass as well, but only when the API says so.
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(min(seconds, 24*60*60)) * time.Second
	}
	return e
}

// How an operation can end, other than well; for errors.Is.
var (
	ErrFailed     = errors.New("operation failed")
	ErrRolledBack = errors.New("operation was rolled back")
	ErrUnverified = errors.New("operation could not be confirmed")
	ErrCancelled  = errors.New("operation was cancelled")
)

var byEnd = map[string]error{"failed": ErrFailed, "rolled_back": ErrRolledBack, "unverified": ErrUnverified, "cancelled": ErrCancelled}

// EndError is the end of an operation that did not succeed.
type EndError struct {
	OperationID string
	Status      string // failed, rolled_back, unverified or cancelled
	Code        string // stable, such as disk_full; empty when there is none
	Message     string
	Hint        string
}

func (e *EndError) Error() string {
	text := "operation " + e.OperationID + ": " + e.Status
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	return text
}

// Is makes errors.Is(err, ErrRolledBack) and the like work.
func (e *EndError) Is(target error) bool { return target != nil && byEnd[e.Status] == target }

// Err is nil while the operation runs and when it has succeeded, and otherwise an *[EndError].
func (o *Operation) Err() error {
	if !o.Done || o.Status == "succeeded" {
		return nil
	}
	e := &EndError{OperationID: o.OperationID, Status: o.Status}
	if o.Error != nil {
		e.Code, e.Message, e.Hint = o.Error.Code, o.Error.Message, o.Error.Hint
	}
	return e
}

// Into decodes the operation's result, whose form depends on its type.
func (o *Operation) Into(result any) error {
	if len(o.Result) == 0 {
		return errors.New("reading the operation's result: it has none")
	}
	if err := json.Unmarshal(o.Result, result); err != nil {
		return fmt.Errorf("reading the operation's result: %w", err)
	}
	return nil
}
