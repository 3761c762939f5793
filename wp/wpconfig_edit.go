package wp

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// ErrUncertain is the class of refusals to edit a wp-config.php: what its code
// makes of a constant cannot be told without running it, so a change might have
// no effect, or another one.
var ErrUncertain = errors.New("wp-config.php is too clever to be edited")

// Literal is a value as PHP source. Only PHPBool, PHPInt and PHPText make one.
type Literal struct{ src string }

// PHPBool is true or false.
func PHPBool(v bool) Literal { return Literal{strconv.FormatBool(v)} }

// PHPInt is a number.
func PHPInt(v int) Literal { return Literal{strconv.Itoa(v)} }

// PHPText is a string; one that is not line-safe is refused (ErrNotLineSafe).
func PHPText(s string) (Literal, error) {
	safe, err := NewLineSafe(s)
	if err != nil {
		return Literal{}, err
	}
	return Literal{phpString(safe)}, nil
}

// String is the value as it stands in the file.
func (l Literal) String() string { return l.src }

// ConfigEdit gives a constant a value. The zero Literal takes the constant away.
type ConfigEdit struct {
	Name  string
	Value Literal
}

// ConfigChange is one edit that was made: what RevertConfig needs to take it back
// byte for byte. It may hold a secret, as the file does: it belongs into private
// files only.
type ConfigChange struct {
	Name string `json:"name"`
	// Was is the source of the earlier value; nil when the constant was not defined.
	Was *string `json:"was"`
	// Text is what was written: the new value's source, or the whole line.
	Text string `json:"text"`
}

// ConfigConst is a constant's value, as WordPress will see it.
type ConfigConst struct {
	Defined bool
	Source  string // PHP's source of the value
	Text    string // PHP's string conversion: "1" is true, "" is false and null
}

// True is PHP's idea of it; a constant that is not defined is false.
func (c ConfigConst) True() bool { return phpValue{text: c.Text}.truthy() }

var constName = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)

// ConfigConsts reads constants by name. An error that is ErrUncertain or
// ErrNotConfig says that they cannot be told.
func ConfigConsts(src []byte, names ...string) (map[string]ConfigConst, error) {
	d, err := readConfig(string(src), names...)
	if err != nil {
		return nil, err
	}
	out := make(map[string]ConfigConst, len(names))
	for _, name := range names {
		if v, ok := d.constants[name]; ok {
			out[name] = ConfigConst{Defined: true, Source: d.source(v), Text: v.text}
		} else {
			out[name] = ConfigConst{}
		}
	}
	return out, nil
}

// EditConfig changes constants and leaves every other byte as it is. A value is
// replaced where it stands; a new constant goes in front of the "stop editing" line.
// It answers the new file and how to take it back; an edit that changes nothing is
// not among the changes. Nothing is done unless all of it can be.
func EditConfig(src []byte, edits ...ConfigEdit) ([]byte, []ConfigChange, error) {
	text, changes := string(src), []ConfigChange(nil)
	for _, e := range edits {
		if !constName.MatchString(e.Name) {
			return nil, nil, fmt.Errorf("editing wp-config: %q is no constant's name", e.Name)
		}
		d, err := readConfig(text, e.Name)
		if err != nil {
			return nil, nil, err
		}
		next, change, err := d.edit(e)
		if err != nil {
			return nil, nil, err
		}
		if change == nil {
			continue
		}
		if err := mustSay(next, e); err != nil {
			return nil, nil, err
		}
		text = next
		changes = append(changes, *change)
	}
	if len(text) > MaxConfigSize {
		return nil, nil, fmt.Errorf("%w: larger than %d KiB", ErrNotConfig, MaxConfigSize>>10)
	}
	return []byte(text), changes, nil
}

// mustSay reads an edited file again, so that a mistake of ours ends here.
func mustSay(text string, e ConfigEdit) error {
	d, err := readConfig(text, e.Name)
	if err != nil {
		return fmt.Errorf("reading edited wp-config: %w", err)
	}
	v, ok := d.constants[e.Name]
	if ok != (e.Value.src != "") || ok && d.source(v) != e.Value.src {
		return fmt.Errorf("reading edited wp-config: %s has not its new value", e.Name)
	}
	return nil
}

// RevertConfig takes changes back, the last one first. What was changed by hand
// since then is left alone, unless it is the changed value itself: that gets its
// earlier source back.
func RevertConfig(src []byte, changes []ConfigChange) ([]byte, error) {
	text := string(src)
	for i := len(changes) - 1; i >= 0; i-- {
		c := changes[i]
		if !constName.MatchString(c.Name) {
			return nil, fmt.Errorf("reverting wp-config: %q is no constant's name", c.Name)
		}
		d, err := readConfig(text, c.Name)
		if err != nil {
			return nil, err
		}
		if text, err = d.revert(c); err != nil {
			return nil, err
		}
	}
	return []byte(text), nil
}

// edit makes one change; a nil change says that there is nothing to do.
func (d *configDoc) edit(e ConfigEdit) (string, *ConfigChange, error) {
	v, defined := d.constants[e.Name]
	switch {
	case e.Value.src == "" && !defined, defined && d.source(v) == e.Value.src:
		return d.text, nil, nil
	case e.Value.src == "":
		next, err := d.unset(e.Name)
		// Taken away for good: only an edit that sets something can be reverted.
		return next, &ConfigChange{Name: e.Name}, err
	case defined:
		was := d.source(v)
		return d.replace(v, e.Value.src), &ConfigChange{Name: e.Name, Was: &was, Text: e.Value.src}, nil
	}
	return d.insert(e.Name, e.Value.src), &ConfigChange{Name: e.Name, Text: d.line(e.Name, e.Value.src)}, nil
}

func (d *configDoc) line(name, src string) string {
	return "define( '" + name + "', " + src + " );" + d.lineBreak()
}

func (d *configDoc) insert(name, src string) string {
	at := d.anchor()
	return d.text[:at] + d.line(name, src) + d.text[at:]
}

func (d *configDoc) revert(c ConfigChange) (string, error) {
	v, defined := d.constants[c.Name]
	switch {
	case !defined && c.Was == nil:
		return d.text, nil
	case !defined: // somebody has taken the line out, and with it the value it had before
		return d.insert(c.Name, *c.Was), nil
	case c.Was != nil:
		return d.replace(v, *c.Was), nil
	}
	at := d.spans[d.statementOf(v).from].start
	if c.Text != "" && strings.HasPrefix(d.text[at:], c.Text) {
		return d.text[:at] + d.text[at+len(c.Text):], nil
	}
	return d.unset(c.Name)
}

// unset removes every plain definition of a constant, also those that had no
// effect: the next one would get it.
func (d *configDoc) unset(name string) (string, error) {
	for range 100 {
		v, defined := d.constants[name]
		if !defined {
			return d.text, nil
		}
		text, err := d.remove(d.statementOf(v))
		if err != nil {
			return "", fmt.Errorf("%w: %s %w", ErrUncertain, name, err)
		}
		if d, err = readConfig(text, name); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("%w: %s is defined too often", ErrUncertain, name)
}

func (d *configDoc) replace(v phpValue, src string) string {
	return d.text[:d.spans[v.from].start] + src + d.text[d.spans[v.to-1].end:]
}

func (d *configDoc) source(v phpValue) string {
	return d.text[d.spans[v.from].start:d.spans[v.to-1].end]
}
