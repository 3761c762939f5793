package main

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

//go:embed completion
var completions embed.FS

// completionCmd prints a script that asks the program for every word (completeCmd), so
// that it fits whichever version is installed.
type completionCmd struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

// Run prints the script.
func (cmd *completionCmd) Run(a *app) error {
	script, err := completions.ReadFile("completion/" + cmd.Shell)
	if err != nil {
		return fmt.Errorf("reading completion script: %w", err)
	}
	_, err = a.out.Write(script)
	return err
}

type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"The words behind the program's name, the last of them unfinished."`
}

// Run prints what the last word may become, a line each: the word, a tab, what it does.
func (cmd *completeCmd) Run(a *app, parsed *kong.Context) error {
	for _, c := range complete(parsed.Model.Node, cmd.Words) {
		if _, err := fmt.Fprintf(a.out, "%s\t%s\n", c.word, c.help); err != nil {
			return fmt.Errorf("writing what may follow: %w", err)
		}
	}
	return nil
}

type candidate struct{ word, help string }

// complete finds the command that the words have led to, and what may follow there.
func complete(at *kong.Node, words []string) []candidate {
	// bash makes three words of --flag=value.
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "=" || w == "--" })
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	var open *kong.Flag // waits for its value
	for _, word := range words[:len(words)-1] {
		flag := flagOf(at, word)
		switch {
		case open != nil:
			open = nil
		case flag != nil && !flag.IsBool() && !strings.Contains(word, "="):
			open = flag
		case flag == nil:
			at = below(at, word)
		}
	}
	if open != nil {
		return startingWith(last, values(open))
	}
	if strings.HasPrefix(last, "-") {
		return startingWith(last, flagsOf(at))
	}
	var commands []candidate
	for _, child := range at.Children {
		if !child.Hidden {
			commands = append(commands, candidate{child.Name, child.Help})
		}
	}
	if len(at.Positional) > 0 {
		commands = append(commands, values(&kong.Flag{Value: at.Positional[0]})...)
	}
	return startingWith(last, commands)
}

func below(at *kong.Node, word string) *kong.Node {
	for _, child := range at.Children {
		if child.Name == word {
			return child
		}
	}
	return at // an argument
}

func flagOf(at *kong.Node, word string) *kong.Flag {
	name, _, _ := strings.Cut(word, "=")
	for _, group := range at.AllFlags(true) {
		for _, f := range group {
			if name == "--"+f.Name || f.Short != 0 && name == "-"+string(f.Short) {
				return f
			}
		}
	}
	return nil
}

func flagsOf(at *kong.Node) []candidate {
	var all []candidate
	for _, group := range at.AllFlags(true) {
		for _, f := range group {
			all = append(all, candidate{"--" + f.Name, f.Help})
		}
	}
	return all
}

// values are those of an enumeration; for anything else the shell offers files.
func values(f *kong.Flag) []candidate {
	var all []candidate
	for value := range f.EnumMap() {
		if value != "" {
			all = append(all, candidate{value, ""})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return strings.Compare(a.word, b.word) })
	return all
}

func startingWith(prefix string, all []candidate) []candidate {
	return slices.DeleteFunc(all, func(c candidate) bool { return !strings.HasPrefix(c.word, prefix) })
}
