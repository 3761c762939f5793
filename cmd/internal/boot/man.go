package boot

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// ManFlag prints the program's manual page and ends it. The page is made from the same
// tags as --help, so that it cannot say anything else.
type ManFlag bool

// BeforeReset is called by kong before anything is checked.
func (ManFlag) BeforeReset(app *kong.Kong, vars kong.Vars) error {
	date, err := builtOn(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(app.Stdout, manPage(app.Model, vars["version"], date))
	app.Exit(0)
	return err
}

// builtOn is the day that a page shows; none unless the build says one, so that two
// builds of the same sources are the same (https://reproducible-builds.org/specs/source-date-epoch).
func builtOn(epoch string) (string, error) {
	if epoch == "" {
		return "", nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return "", fmt.Errorf("reading SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC().Format(time.DateOnly), nil
}

// page is a manual page in the language of man(7).
type page struct{ strings.Builder }

func manPage(app *kong.Application, version, date string) string {
	section := "8" // a daemon
	if len(app.Children) > 0 {
		section = "1"
	}
	p := &page{}
	p.macro("TH", strings.ToUpper(app.Name), section, date, app.Name+" "+version, "WisPanel WordPress Toolkit")
	p.heading("NAME")
	p.text(app.Name + " - " + strings.TrimSuffix(app.Help, "."))
	p.heading("SYNOPSIS")
	if len(app.Children) > 0 {
		p.line(".B " + escape(app.Name) + "\n.I COMMAND\n[flags]")
	} else {
		p.line(".B " + escape(app.Name) + "\n[flags]")
	}
	if len(app.Children) > 0 {
		p.heading("COMMANDS")
		for _, command := range app.Leaves(true) {
			p.command(app, command)
		}
	}
	p.heading("OPTIONS")
	p.flags(app.Flags)
	p.heading("SETTINGS")
	p.text("A setting is given as a flag, in the environment variable that stands behind it, or in the YAML file that --config names, in that order: the first one counts.")
	p.heading("EXIT STATUS")
	p.text("0 when all went well, 2 when the flags or settings are wrong, another one when the work failed.")
	return p.String()
}

func (p *page) command(app *kong.Application, command *kong.Node) {
	p.macro("SS", app.Name+" "+command.Path())
	p.text(command.Help)
	for _, arg := range command.Positional {
		p.item(strings.ToUpper(arg.Name), arg.Help)
	}
	for n := command; n != nil && n.Type != kong.ApplicationNode; n = n.Parent {
		p.flags(n.Flags)
	}
}

func (p *page) flags(flags []*kong.Flag) {
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		help := f.Help
		if len(f.Envs) > 0 {
			help += " Environment: " + strings.Join(f.Envs, ", ") + "."
		}
		if f.HasDefault && f.Default != "" {
			help += " Default: " + f.Default + "."
		}
		if f.Required {
			help += " Must be set."
		}
		p.item(f.String(), help)
	}
}

func (p *page) item(name, help string) {
	p.line(".TP\n.B " + escape(name))
	p.text(help)
}

func (p *page) heading(name string) { p.macro("SH", name) }

func (p *page) text(text string) { p.line(escape(text)) }

func (p *page) line(text string) { fmt.Fprintln(p, text) }

// macro writes a call; an argument in quotes has its own quotes doubled (groff(7)).
func (p *page) macro(name string, args ...string) {
	p.WriteString("." + name)
	for _, arg := range args {
		p.WriteString(` "` + strings.ReplaceAll(escape(arg), `"`, `""`) + `"`)
	}
	p.WriteByte('\n')
}

var control = regexp.MustCompile(`(?m)^[.']`)

// escape has text stand for itself: backslashes, dashes that are typed as such, and signs
// at the start of a line that would make it a command.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	return control.ReplaceAllString(text, `\&$0`)
}
