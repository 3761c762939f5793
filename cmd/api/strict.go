package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/wispanel/wptk/tasks"
)

const (
	maxBody  = 1 << 20 // bytes of a request body
	maxDepth = 32      // arrays and objects inside each other
)

var (
	errMediaType = newProblem("UNSUPPORTED_MEDIA_TYPE", "The body must be application/json")
	errTwice     = errors.New("given more than once")
	errDepth     = fmt.Errorf("nested deeper than %d levels", maxDepth)
)

// strictJSON reads bodies so that no two parsers can understand them differently:
// a name given twice, invalid UTF-8 and deep nesting are errors, names match
// exactly. Unknown names are refused by the schema check, which sees all of them.
var strictJSON = huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshalStrict}

func init() {
	// huma has these two as package variables. They are set before any server
	// exists and never again.
	huma.ValidateStrictCasing = true
	huma.NewErrorWithContext = newHumaProblem
	// Only its type is looked at: it is the error schema of the OpenAPI document.
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return &problem{Status: status, Summary: message, Message: message}
	}
}

func unmarshalStrict(data []byte, v any) error {
	if err := checkDepth(data); err != nil {
		return err
	}
	// Legacy error reporting goes on after a value of the wrong type, so that the
	// fields after it are not reported as missing as well.
	err := json.Unmarshal(data, v, json.RejectUnknownMembers(false), jsonv1.ReportErrorsWithLegacySemantics(true))
	if err != nil {
		return fmt.Errorf("reading JSON: %w", err)
	}
	return nil
}

// checkDepth walks the tokens before anything is built from them. Names given
// twice and broken text stop it as well.
func checkDepth(data []byte) error {
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		_, err := dec.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return errors.New(strings.TrimPrefix(err.Error(), "jsontext: "))
		case dec.StackDepth() > maxDepth:
			return errDepth
		}
	}
}

// oneOfEach refuses a query that two readers could understand differently: a name given twice, of
// which some take the first and some the last, and what is no query at all, which Go leaves out.
func oneOfEach(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" {
			query, err := url.ParseQuery(r.URL.RawQuery)
			p := newProblem("VALIDATION_ERROR", "The query of the address cannot be read")
			for name, values := range query {
				if len(values) > 1 {
					if !errors.Is(err, errTwice) {
						p, err = newProblem("VALIDATION_ERROR", "The query of the address has a name twice"), errTwice
					}
					p.Details = append(p.Details, tasks.Problem{Field: name, Reason: errTwice.Error()})
				}
			}
			if err != nil {
				writeProblem(w, r, p)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// limitBody caps what a handler may read, and refuses a body that does not call
// itself JSON.
func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody {
			if !isJSON(r.Header.Get("Content-Type")) {
				writeProblem(w, r, errMediaType)
				return
			}
			if r.ContentLength > maxBody {
				writeProblem(w, r, &http.MaxBytesError{Limit: maxBody})
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		next.ServeHTTP(w, r)
	})
}

func isJSON(contentType string) bool {
	if contentType == "" {
		return true // curl -d without -H is form data; nothing at all is taken as JSON
	}
	kind, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	return err == nil && kind == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8"))
}
