// Program licences says under what terms everything in the programs may be passed on, and
// fails for what it does not know.
//
//	licences [--texts FILE] PROGRAM…
//
// What is in a program is read from the program itself, so it is neither more (tools, tests)
// nor less than what is shipped. Texts come from the module cache, where building left them,
// and are recognised by their words. FILE gets all of them, for the packages: nearly every
// licence asks that it is passed on.
//
// The last line is a JSON object; the exit status is 0 only when all held.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

func main() {
	texts := flag.String("texts", "", "file that gets the texts of all licences")
	flag.Parse()
	if err := run(os.Stdout, *texts, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "licences: %v\n", err)
		os.Exit(1)
	}
}

func run(out io.Writer, texts string, programs []string) error {
	if len(programs) == 0 {
		return fmt.Errorf("usage: licences [--texts FILE] PROGRAM…")
	}
	modules, err := modulesOf(programs)
	if err != nil {
		return err
	}
	held := 0
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for i := range modules {
		m := &modules[i]
		verdict := "ok"
		if err := m.judge(); err != nil {
			verdict = "REFUSED: " + err.Error()
		} else {
			held++
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", m.Path, m.Version.Version, m.licence, verdict)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the table: %w", err)
	}
	if texts != "" {
		if err := os.WriteFile(texts, allTexts(modules), 0o644); err != nil {
			return fmt.Errorf("writing the texts: %w", err)
		}
	}
	line, err := json.Marshal(struct {
		Name  string `json:"name"`
		Cases int    `json:"cases"`
		Held  int    `json:"held"`
		Met   bool   `json:"met"`
	}{"licences", len(modules), held, held == len(modules)})
	if err != nil {
		return fmt.Errorf("encoding the verdict: %w", err)
	}
	fmt.Fprintf(out, "%s\n", line)
	if held < len(modules) {
		return fmt.Errorf("%d of %d modules may not be passed on with the toolkit", len(modules)-held, len(modules))
	}
	return nil
}
