package wp

import (
	"context"
	"fmt"
	"slices"

	"github.com/wispanel/wptk/wp/proc"
)

// TableCounts counts the rows of every table (not of views, nor our claim), exactly and at
// one moment, as the tenant. Keys are table names.
func (h *Host) TableCounts(ctx context.Context, site Site, login Login) (map[string]int64, error) {
	answer, err := h.count(ctx, site, login, countRequest{})
	if err != nil {
		return nil, fmt.Errorf("counting rows: %w", err)
	}
	return answer.Rows, nil
}

// TextCount is how often a text was found.
type TextCount struct {
	Text  string
	Cells int64
	Where []string // "wp_options.option_value: 3", at most a hundred columns
}

// CountText counts the cells of text columns that hold a host name, an address or a path, in
// any form that rewrite.SiteRules knows (https:\/\/old.test) and by its edges: the mail
// address me@old.test is not a cell with old.test. The tables are read once for all texts.
// Columns of bytes (BLOB) are not looked into: the pipeline does not rewrite them either.
func (h *Host) CountText(ctx context.Context, site Site, login Login, texts ...string) ([]TextCount, error) {
	if len(texts) == 0 || slices.Contains(texts, "") {
		return nil, fmt.Errorf("counting text: nothing to look for")
	}
	answer, err := h.count(ctx, site, login, countRequest{Texts: texts})
	if err != nil {
		return nil, fmt.Errorf("counting text: %w", err)
	}
	counts := make([]TextCount, len(texts))
	for i, text := range texts {
		counts[i].Text = text
	}
	for _, c := range answer.Columns {
		if c.Text < 0 || c.Text >= len(counts) { // the child is the tenant's
			return nil, fmt.Errorf("counting text: %w: no text %d", ErrOutput, c.Text)
		}
		n := &counts[c.Text]
		n.Cells += c.Cells
		if len(n.Where) < 100 {
			n.Where = append(n.Where, fmt.Sprintf("%s.%s: %d", cleanLine(c.Table, 64), cleanLine(c.Column, 64), c.Cells))
		}
	}
	for _, n := range counts {
		slices.Sort(n.Where)
	}
	return counts, nil
}

func (h *Host) count(ctx context.Context, site Site, login Login, request countRequest) (countAnswer, error) {
	if err := h.ourServer(login); err != nil {
		return countAnswer{}, err
	}
	request.Net, request.Addr = doorOf(login.Host, h.DB)
	request.Name, request.User, request.Password = login.Name, login.User, login.Password
	hooks, _ := ctx.Value(hooksKey{}).(RunHooks)
	opt := proc.CallOptions{Timeout: countTime, Keep: hooks.Keep, Started: hooks.Started, MaxAnswer: 8 << 20}
	var answer countAnswer
	if err := proc.Call(ctx, site.User, opt, "wp.count", request, &answer); err != nil {
		return countAnswer{}, fmt.Errorf("asking the database as %s: %w", site.Account, err)
	}
	switch {
	case answer.Away:
		return countAnswer{}, fmt.Errorf("asking the database as %s: %w", site.Account, ErrUnavailable)
	case answer.Refused != "":
		return countAnswer{}, fmt.Errorf("asking the database as %s: %w: %s", site.Account, ErrRefusedLogin, cleanLine(answer.Refused, 200))
	}
	return answer, nil
}
