package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// problem is the one shape of every error answer.
type problem struct {
	Success   bool            `json:"success" doc:"Always false."`
	Code      string          `json:"code" example:"VALIDATION_ERROR" doc:"Stable code for programs."`
	Summary   string          `json:"error" doc:"What is wrong, for people."`
	Message   string          `json:"message" doc:"Same as error, or a longer form of it."`
	Status    int             `json:"status" example:"400" doc:"The HTTP status."`
	RequestID string          `json:"request_id" doc:"Quote it when asking for help; also in X-Request-Id."`
	Details   []tasks.Problem `json:"details,omitempty" doc:"Every problem of the request, at once."`
	Hint      string          `json:"hint,omitempty" doc:"What to do about it."`
	OpID      string          `json:"operation_id,omitempty" doc:"The operation in the way."`
	ID        string          `json:"id,omitempty" doc:"The install in the way."`
	Install   *installation   `json:"installation,omitempty" doc:"The install in the way, as the inventory knows it."`

	retryAfter time.Duration
}

func (p *problem) Error() string  { return p.Summary }
func (p *problem) GetStatus() int { return p.Status }

// GetHeaders makes huma send Retry-After along with the answer.
func (p *problem) GetHeaders() http.Header {
	if p.retryAfter <= 0 {
		return nil
	}
	return http.Header{"Retry-After": {retryAfter(p.retryAfter)}}
}

// codes is the table of error codes and their statuses.
var codes = map[string]int{
	"VALIDATION_ERROR":       http.StatusBadRequest,
	"UNAUTHORIZED":           http.StatusUnauthorized,
	"FORBIDDEN":              http.StatusForbidden,
	"NOT_FOUND":              http.StatusNotFound,
	"METHOD_NOT_ALLOWED":     http.StatusMethodNotAllowed,
	"CONFLICT":               http.StatusConflict,
	"PAYLOAD_TOO_LARGE":      http.StatusRequestEntityTooLarge,
	"UNSUPPORTED_MEDIA_TYPE": http.StatusUnsupportedMediaType,
	"IDEMPOTENCY_MISMATCH":   http.StatusUnprocessableEntity,
	"RATE_LIMITED":           http.StatusTooManyRequests,
	"INTERNAL_ERROR":         http.StatusInternalServerError,
	"NODE_UNAVAILABLE":       http.StatusServiceUnavailable,
	"QUEUE_UNAVAILABLE":      http.StatusServiceUnavailable,
}

func newProblem(code, message string) *problem {
	return &problem{Code: code, Summary: message, Message: message, Status: codes[code]}
}

func (p *problem) hint(format string, args ...any) *problem {
	p.Hint = fmt.Sprintf(format, args...)
	return p
}

func (p *problem) after(d time.Duration) *problem {
	p.retryAfter = d
	return p
}

// invalid reports problems, the first of them as the message.
func invalid(problems ...tasks.Problem) *problem {
	message := "Invalid request"
	if len(problems) > 0 {
		message = fmt.Sprintf("Invalid %s: %s", problems[0].Field, problems[0].Reason)
	}
	p := newProblem("VALIDATION_ERROR", message)
	p.Details = problems
	return p
}

// problemFor is the one table from error to answer. An error that is not in it is
// our own fault: it is logged under the request's id, and only the id goes out.
func problemFor(ctx context.Context, err error) *problem {
	var (
		known   *problem
		bad     *tasks.InvalidError
		busy    *queue.BusyError
		exists  *queue.ExistsError
		tooLong *http.MaxBytesError
		unknown *queue.UnknownSitesError
		inUse   *queue.NodeInUseError
	)
	x := exchangeOf(ctx)
	p := newProblem("INTERNAL_ERROR", "Internal error").hint("report the request_id")
	switch {
	case errors.As(err, &known):
		stamped := *known
		p = &stamped
	case errors.As(err, &bad):
		p = invalid(bad.Problems...)
	case errors.As(err, &busy):
		p = newProblem("CONFLICT", "Another operation is running on this install").
			hint("wait for operation_id, or leave out on_busy=fail to queue behind it")
		p.OpID = busy.OpID
	case errors.As(err, &exists):
		p = newProblem("CONFLICT", "WordPress is already installed there").hint("use on_exists=return to get the existing install")
		p.ID = exists.SiteID
	case errors.As(err, &tooLong):
		p = newProblem("PAYLOAD_TOO_LARGE", fmt.Sprintf("The body is larger than %d bytes", tooLong.Limit))
	case errors.As(err, &unknown):
		p = newProblem("NOT_FOUND", "Not found").hint("nothing was changed; take the ids in details out")
		for _, id := range unknown.IDs {
			p.Details = append(p.Details, tasks.Problem{Field: "ids", Reason: "no such install: " + id})
		}
	case errors.As(err, &inUse):
		p = newProblem("CONFLICT", "The "+inUse.Error()).hint("stop its worker for two minutes and move its installs, or use force=true")
	case errors.Is(err, queue.ErrTooLarge):
		p = invalid(tasks.Problem{Field: "filter", Reason: fmt.Sprintf("fits more than %d installs", queue.MaxChildren)})
	case errors.Is(err, queue.ErrNoRollout):
		p = newProblem("CONFLICT", "The operation is about one install only")
	case errors.Is(err, queue.ErrEnded):
		p = newProblem("CONFLICT", "The operation has ended")
	case errors.Is(err, queue.ErrUnsigned), errors.Is(err, queue.ErrUnknownSigner), errors.Is(err, queue.ErrForged):
		x.log.Error("refusing to act on a record that is not as it was signed", "request", x.id, "err", err)
		p = newProblem("CONFLICT", "The record of it is not one that a trusted API has signed").hint("ask for it anew; the operator looks at --signing-keys, and at who can write to Redis")
	case errors.Is(err, queue.ErrManySchedules):
		p = newProblem("CONFLICT", fmt.Sprintf("There are %d schedules already", queue.MaxSchedules)).hint("delete one first")
	case errors.Is(err, queue.ErrTooManyWebhooks):
		p = newProblem("CONFLICT", "The account has as many webhooks as it may").hint("delete one first")
	case errors.Is(err, queue.ErrNotFound):
		p = newProblem("NOT_FOUND", "Not found")
	case errors.Is(err, queue.ErrKeyChanged):
		p = newProblem("CONFLICT", "The key was changed or revoked meanwhile")
	case errors.Is(err, queue.ErrBadCursor):
		p = invalid(tasks.Problem{Field: "cursor", Reason: "must be the next cursor of an earlier answer"})
	case errors.Is(err, queue.ErrMismatch):
		p = newProblem("IDEMPOTENCY_MISMATCH", "This Idempotency-Key was used with another request").hint("use a new key for a new request")
	case queue.Unavailable(err):
		x.log.Warn("Redis does not answer", "request", x.id, "err", err)
		p = newProblem("QUEUE_UNAVAILABLE", "The queue is not reachable").hint("nothing was changed; try again").after(5 * time.Second)
	default:
		x.log.Error("answering with an internal error", "request", x.id, "err", err)
	}
	p.RequestID = x.id
	return p
}

// newHumaProblem replaces huma's error model: its own findings (types, unknown
// fields, media type, size) come out in the same envelope as everything else.
func newHumaProblem(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
	c := ctx.Context()
	switch status {
	case http.StatusRequestEntityTooLarge:
		return problemFor(c, &http.MaxBytesError{Limit: maxBody})
	case http.StatusUnsupportedMediaType:
		return problemFor(c, errMediaType)
	case http.StatusInternalServerError: // only reading the body fails like this
		return problemFor(c, bodyError(errors.Join(errs...)))
	}
	p := newProblem("VALIDATION_ERROR", message)
	details := detailsOf(errs)
	if len(details) > 0 {
		p = invalid(details...)
	}
	var ours *problem
	if errors.As(errors.Join(errs...), &ours) && !(len(details) > 0 && details[0].Field == wholeBody) {
		p.Summary, p.Message = ours.Summary, ours.Message
	}
	return problemFor(c, p)
}

// bodyError is what stopped the body: its size, or a client that broke off.
func bodyError(err error) error {
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return tooLong
	}
	return newProblem("VALIDATION_ERROR", "The body could not be read to its end")
}

// wholeBody is where a body that cannot be read at all is at fault.
const wholeBody = "body"

// detailsOf turns huma's findings into ours, the first per field: a field of the
// wrong type is also missing to whoever looks next. When the body as a whole is
// at fault nothing in it was read, so there is no more to say. Values are left
// out, they may be secrets.
func detailsOf(errs []error) []tasks.Problem {
	var details []tasks.Problem
	seen := map[string]bool{}
	add := func(p tasks.Problem) {
		if !seen[p.Field] {
			seen[p.Field] = true
			details = append(details, p)
		}
	}
	for _, err := range errs {
		var detailer huma.ErrorDetailer
		var ours *problem
		switch {
		case errors.As(err, &ours):
			for _, p := range ours.Details {
				add(p)
			}
		case errors.As(err, &detailer):
			d := detailer.ErrorDetail()
			if d.Location == wholeBody {
				return []tasks.Problem{{Field: wholeBody, Reason: d.Message}}
			}
			add(tasks.Problem{Field: fieldOf(d.Location), Reason: d.Message})
		default:
			add(tasks.Problem{Field: "request", Reason: err.Error()})
		}
	}
	return details
}

// fieldOf is huma's location without where it is: "body.plugins[0]" is plugins[0].
func fieldOf(location string) string {
	for _, in := range []string{"body.", "query.", "path.", "header."} {
		if field, ok := strings.CutPrefix(location, in); ok {
			return field
		}
	}
	return location
}

// retryAfter is d in whole seconds, rounded up, at least one.
func retryAfter(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}
