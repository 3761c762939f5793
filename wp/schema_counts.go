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

// CountText counts the cells of text columns that hold a host name, an address or a path, in
// any form that rewrite.SiteRules knows (https:\/\/old.test) and by its edges: the mail
// address me@old.test is not a cell with old.test. It
// says where they are, as "wp_options.option_value: 3", at most a hundred columns. Columns
// of bytes (BLOB) are not looked into: the pipeline does not rewrite them either.
func (h *Host) CountText(ctx context.Context, site Site, login Login, text string) (int64, []string, error) {
	if text == "" {
		return 0, nil, fmt.Errorf("counting text: nothing to look for")
	}
	answer, err := h.count(ctx, site, login, countRequest{Text: text})
	if err != nil {
		return 0, nil, fmt.Errorf("counting text: %w", err)
	}
	var cells int64
	var where []string
	for _, c := range answer.Columns {
		cells += c.Cells
		if len(where) < 100 {
			where = append(where, fmt.Sprintf("%s.%s: %d", cleanLine(c.Table, 64), cleanLine(c.Column, 64), c.Cells))
		}
	}
	slices.Sort(where)
	return cells, where, nil
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
