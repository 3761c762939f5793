package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
)

// Secret is a payload field that must not be read on its way: a password. It
// is plain between the request and Seal, sealed to the node's key from then on
// ("age:" and base64), and opened by the step that needs it through Run.Reveal.
// It never prints, in either form.
type Secret string

// sealedPrefix marks a sealed secret. A requester may well choose a password
// that begins with it: Seal seals that too, so it is never taken for sealed.
const sealedPrefix = "age:"

const redacted = "[secret]"

// ErrUnsealed refuses to write a plain secret anywhere.
var ErrUnsealed = errors.New("refusing to encode a secret that is not sealed")

// Sealed reports whether the secret has the form that may be stored.
func (s Secret) Sealed() bool { return strings.HasPrefix(string(s), sealedPrefix) }

// String hides the secret from fmt and from everything built on it.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return fmt.Sprintf("tasks.Secret(%q)", s.String()) }

// Format hides the secret from every verb: %x of a string type would show it.
func (s Secret) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') {
		fmt.Fprint(f, s.GoString())
		return
	}
	fmt.Fprint(f, s.String())
}

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON writes a sealed secret and fails with ErrUnsealed on a plain one.
func (s Secret) MarshalJSON() ([]byte, error) {
	if s != "" && !s.Sealed() {
		return nil, ErrUnsealed
	}
	return json.Marshal(string(s))
}

// Seal seals every secret of a task in place. It is called once for a task, on
// its way into the ledger; seal gets the plain text and answers "age:" and
// base64. The task must be a pointer, or there would be nothing to write to.
func Seal(t Task, seal func(plain string) (string, error)) error {
	v := reflect.ValueOf(t)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("sealing %T: not a pointer to a task", t)
	}
	if err := sealValue(v.Elem(), seal); err != nil {
		return fmt.Errorf("sealing %s: %w", t.Kind(), err)
	}
	return nil
}

var secretType = reflect.TypeFor[Secret]()

func sealValue(v reflect.Value, seal func(string) (string, error)) error {
	switch {
	case v.Type() == secretType:
		return sealOne(v, seal)
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return sealValue(v.Elem(), seal)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue // cannot be encoded either
			}
			if err := sealValue(v.Field(i), seal); err != nil {
				return err
			}
		}
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Array:
		for i := range v.Len() {
			if err := sealValue(v.Index(i), seal); err != nil {
				return err
			}
		}
	case v.Kind() == reflect.Map && holdsSecret(v.Type().Elem()):
		return errors.New("a secret in a map cannot be sealed in place")
	}
	return nil
}

func sealOne(v reflect.Value, seal func(string) (string, error)) error {
	if v.Len() == 0 {
		return nil
	}
	sealed, err := seal(v.String())
	if err != nil {
		return err // of the sealer, which does not know what it sealed
	}
	if !Secret(sealed).Sealed() {
		return fmt.Errorf("the sealer answered something without %q", sealedPrefix)
	}
	v.SetString(sealed)
	return nil
}

// holdsSecret reports whether a type has a secret somewhere inside.
func holdsSecret(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return holdsSecret(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if holdsSecret(t.Field(i).Type) {
				return true
			}
		}
	}
	return t == secretType
}
