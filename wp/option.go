package wp

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
)

// OptionGet reads an option as WordPress sees it, filters and constants included: a JSON
// value, mostly a string. An option that does not exist is an *ExitError with status 1.
func (c *CLI) OptionGet(ctx context.Context, site Site, name string) (json.RawMessage, error) {
	out, err := c.must(ctx, site, optionGet(name))
	if err != nil {
		return nil, err
	}
	var value json.RawMessage
	if err := parseJSON(out, &value); err != nil {
		return nil, fmt.Errorf("reading option %s: %w", cleanField(name), err)
	}
	return value, nil
}

// OptionString is OptionGet for an option that is a text or a number.
func (c *CLI) OptionString(ctx context.Context, site Site, name string) (string, error) {
	out, err := c.must(ctx, site, optionGet(name))
	if err != nil {
		return "", err
	}
	value, err := parseOptionString(out)
	if err != nil {
		return "", fmt.Errorf("reading option %s: %w", cleanField(name), err)
	}
	return value, nil
}

// OptionUpdate sets an option to a text and reads it back. What WordPress made into something
// else on the way (a number out of a word) is ErrNotApplied; that it stores the title and the
// tagline as HTML is not.
func (c *CLI) OptionUpdate(ctx context.Context, site Site, name, value string) error {
	if _, err := c.must(ctx, site, optionUpdate(name, value)); err != nil {
		return err
	}
	got, err := c.OptionString(ctx, site, name)
	if err != nil {
		return err
	}
	if got != value && html.UnescapeString(got) != value {
		return fmt.Errorf("setting option %s: %w: it is %q", cleanField(name), ErrNotApplied, cleanField(got))
	}
	return nil
}

func optionGet(name string) Command {
	return command("option", "get").arg(name).fixed("format", "json").withoutPlugins().forParser()
}

// optionUpdate passes the value by standard input, where it may be anything.
func optionUpdate(name, value string) Command {
	return command("option", "update").arg(name).fixed("format", "json").input(jsonText(value)).withoutPlugins()
}

func jsonText(s string) string {
	b, _ := json.Marshal(s) // no error: a string always has a JSON form
	return string(b)
}

func parseOptionString(out []byte) (string, error) {
	var value any
	if err := parseJSON(out, &value); err != nil {
		return "", err
	}
	switch v := value.(type) {
	case string:
		return v, nil
	case float64, bool:
		return fmt.Sprint(v), nil
	}
	return "", fmt.Errorf("%w: value is no text", ErrOutput)
}
