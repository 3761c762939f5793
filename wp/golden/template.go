package golden

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp/rewrite"
)

// Dump is a database of WordPress: its tables by name.
type Dump []Table

// Table is one table. Numbers and points in time are text, as the server sends them.
type Table struct {
	Name    string
	Create  string // of SHOW CREATE TABLE
	Columns []string
	Rows    [][]Cell
}

// Cell is one value.
type Cell struct {
	Text string
	Null bool
}

// Template is a sample together with what in it is to be replaced. It does not change and
// may be used by many.
type Template struct {
	sample Values
	tables Dump
	clock  clock
}

// Tables of WordPress, without their prefix, and what is read there.
const (
	usersTable   = "users"
	optionsTable = "options"
)

// New makes a template of an installation with the values of Shape.Sample and the given
// password.
func New(sample Values, password string, tables Dump) (*Template, error) {
	t := &Template{sample: sample, tables: tables}
	made, err := t.tables.cell(sample.Prefix+usersTable, "user_registered", "user_login", sample.Login)
	if err != nil {
		return nil, err
	}
	if t.sample.Now, err = time.Parse(time.DateTime, made); err != nil {
		return nil, fmt.Errorf("reading the sample's time: %w", err)
	}
	if t.sample.Hash, err = t.tables.cell(sample.Prefix+usersTable, "user_pass", "user_login", sample.Login); err != nil {
		return nil, err
	}
	if !Matches(t.sample.Hash, password) {
		return nil, fmt.Errorf("reading the sample's password: %w: %.10s", ErrHash, t.sample.Hash)
	}
	zone, err := t.tables.cell(sample.Prefix+optionsTable, "option_value", "option_name", "timezone_string")
	if err != nil {
		return nil, err
	}
	if t.clock, err = newClock(t.sample.Now, zone); err != nil {
		return nil, err
	}
	return t, t.leftovers()
}

// cell reads column of the row whose column key has a value.
func (d Dump) cell(table, column, key, value string) (string, error) {
	for _, t := range d {
		if t.Name != table {
			continue
		}
		c, k := slices.Index(t.Columns, column), slices.Index(t.Columns, key)
		if c < 0 || k < 0 {
			break
		}
		for _, row := range t.Rows {
			if row[k].Text == value {
				return row[c].Text, nil
			}
		}
	}
	return "", fmt.Errorf("reading %s of %s: there is none where %s is %q", column, table, key, value)
}

// leftovers looks for values of the sample in a form that no rule replaces.
func (t *Template) leftovers() error {
	for _, table := range t.Render(Values{Prefix: "x_", URL: "http://x.invalid", Title: "x", Login: "x", Email: "x@x.invalid", Now: t.sample.Now}) {
		found := table.Name + table.Create
		for _, row := range table.Rows {
			for _, c := range row {
				if strings.Contains(strings.ToLower(c.Text), mark) {
					found += c.Text
				}
			}
		}
		if at := strings.Index(strings.ToLower(found), mark); at >= 0 {
			return fmt.Errorf("making a template: table %s has %.80q in it, which nothing replaces", table.Name, found[at:])
		}
	}
	return nil
}

// Like is a hash of the kind that this WordPress makes.
func (t *Template) Like() string { return t.sample.Hash }

// Render is the database of an installation with other values.
func (t *Template) Render(v Values) Dump {
	rules := rewrite.New(t.rules(v))
	shift := t.clock.to(v.Now)
	out := make(Dump, len(t.tables))
	for i, table := range t.tables {
		out[i] = Table{Name: t.name(table, v.Prefix), Create: t.create(table, v.Prefix),
			Columns: table.Columns, Rows: make([][]Cell, len(table.Rows))}
		for n, row := range table.Rows {
			cells := make([]Cell, len(row))
			for k, c := range row {
				// Times first: nothing of the new install's values is in the text yet.
				c.Text = shift.cell(table.Columns, k, c.Text)
				changed, _ := rules.Text([]byte(c.Text))
				cells[k] = Cell{Text: string(changed), Null: c.Null}
			}
			out[i].Rows[n] = cells
		}
	}
	return out
}

// Creates are the statements that make the tables, none of which needs a value but the prefix.
func (t *Template) Creates(prefix string) []string {
	all := make([]string, len(t.tables))
	for i, table := range t.tables {
		all[i] = t.create(table, prefix)
	}
	return all
}

func (t *Template) create(table Table, prefix string) string {
	return strings.Replace(table.Create, "`"+table.Name+"`", "`"+t.name(table, prefix)+"`", 1)
}

func (t *Template) name(table Table, prefix string) string {
	return prefix + strings.TrimPrefix(table.Name, t.sample.Prefix)
}

// rules have every value of the sample give way to the new one; what was put in is not
// looked at again.
func (t *Template) rules(v Values) []rewrite.Rule {
	s := t.sample
	return []rewrite.Rule{
		{From: s.Prefix, To: v.Prefix}, {From: s.URL, To: v.URL}, {From: title(s.Title), To: title(v.Title)},
		{From: s.Login, To: v.Login}, {From: nicename(s.Login), To: nicename(v.Login)},
		{From: s.Email, To: v.Email}, {From: s.Hash, To: v.Hash},
	}
}

// Text renders a text that belongs to the sample but is not in its database: rewrite rules.
func (t *Template) Text(sample string, v Values) string {
	from, to := sitePath(t.sample.URL), sitePath(v.URL)
	if from == "" {
		return sample
	}
	return strings.ReplaceAll(sample, from+"/", to+"/")
}

func sitePath(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	_, path, below := strings.Cut(rest, "/")
	if !below {
		return ""
	}
	return "/" + path
}

// Check compares a template with another real installation. v are its values; the hash of
// its password and its time are read from it.
func (t *Template) Check(v Values, password string, real Dump) error {
	made, err := real.cell(v.Prefix+usersTable, "user_registered", "user_login", v.Login)
	if err != nil {
		return err
	}
	if v.Now, err = time.Parse(time.DateTime, made); err != nil {
		return fmt.Errorf("reading the second installation's time: %w", err)
	}
	if v.Hash, err = real.cell(v.Prefix+usersTable, "user_pass", "user_login", v.Login); err != nil {
		return err
	}
	if !Matches(v.Hash, password) {
		return fmt.Errorf("comparing with a second installation: %w", ErrHash)
	}
	drawn := t.Render(v)
	if len(drawn) != len(real) {
		return fmt.Errorf("comparing with a second installation: it has %d tables, the template %d", len(real), len(drawn))
	}
	near := clock{at: v.Now, zone: t.clock.zone}
	for i := range real {
		if err := near.same(drawn[i], real[i]); err != nil {
			return fmt.Errorf("comparing table %s with a second installation: %w", real[i].Name, err)
		}
	}
	return nil
}

// same compares two tables. Times of the installation count as equal: its steps take as long
// as they take.
func (c clock) same(a, b Table) error {
	switch {
	case a.Name != b.Name:
		return fmt.Errorf("the template has %s instead", a.Name)
	case a.Create != b.Create:
		return errors.New("it is made in another way")
	case !slices.Equal(a.Columns, b.Columns) || len(a.Rows) != len(b.Rows):
		return fmt.Errorf("%d rows of %d columns, the template has %d of %d", len(b.Rows), len(b.Columns), len(a.Rows), len(a.Columns))
	}
	for n := range a.Rows {
		for k := range a.Rows[n] {
			x, y := a.Rows[n][k], b.Rows[n][k]
			if x != y && (x.Null != y.Null || c.timeless(x.Text) != c.timeless(y.Text)) {
				return fmt.Errorf("column %s of row %d is %.100q, the template has %.100q", b.Columns[k], n+1, y.Text, x.Text)
			}
		}
	}
	return nil
}
