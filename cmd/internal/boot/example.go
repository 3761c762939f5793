package boot

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// ExampleFlag prints a settings file with every setting, each a comment, and ends the
// program.
type ExampleFlag bool

// BeforeReset is called by kong before anything is checked.
func (ExampleFlag) BeforeReset(app *kong.Kong) error {
	_, err := fmt.Fprint(app.Stdout, example(app.Model))
	app.Exit(0)
	return err
}

func example(app *kong.Application) string {
	var b strings.Builder
	for _, f := range app.Flags {
		if f.Hidden || len(f.Envs) == 0 { // --config itself, --version, --help
			continue
		}
		fmt.Fprintf(&b, "\n# %s\n", f.Help)
		switch {
		case f.Required:
			b.WriteString("# It must be set.\n")
		case f.Enum != "":
			fmt.Fprintf(&b, "# One of %s.\n", strings.ReplaceAll(f.Enum, ",", ", "))
		}
		fmt.Fprintf(&b, "#%s: %s\n", f.Name, exampleOf(f))
	}
	return b.String()
}

// exampleOf is a flag's default, or what kind of value it takes.
func exampleOf(f *kong.Flag) string {
	switch {
	case f.IsBool():
		return "false"
	case f.Default == "":
		return f.FormatPlaceHolder()
	case f.IsSlice():
		return fmt.Sprintf("[%q]", f.Default)
	case strings.ContainsAny(f.Default, `{}[]*&!|>%@#:'"`+"`"):
		return fmt.Sprintf("%q", f.Default)
	}
	return f.Default
}
