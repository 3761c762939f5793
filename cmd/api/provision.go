package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// place is where an install goes: where its domain is, or where it is to be made.
func (s *server) place(ctx context.Context, q *installRequest) (queue.Domain, error) {
	if !q.Provision {
		return s.locate(ctx, q)
	}
	if err := mayProvision(ctx); err != nil {
		return queue.Domain{}, err
	}
	all, err := s.Ledger.Domain(ctx, q.domain())
	if err != nil {
		return queue.Domain{}, err
	}
	mine, err := s.places(ctx, q)
	switch {
	case err != nil || len(mine) > 0: // there is nothing left to be made
		return onlyOne(mine, err)
	case len(all) > 0:
		return queue.Domain{}, newProblem("CONFLICT", "The domain is known elsewhere: node "+all[0].Node+", account "+all[0].Account).
			hint("name that account and node, or remove the domain's directory there first")
	}
	node, err := s.provisioner(ctx, q)
	return queue.Domain{Node: node, Account: q.Account, Domain: q.domain()}, err
}

// mayProvision: a Unix user is the affair of those who run the fleet.
func mayProvision(ctx context.Context) error {
	if exchangeOf(ctx).key.Role != queue.RoleAdmin {
		return newProblem("FORBIDDEN", "An admin key is needed").hint("provision makes Unix users; leave it out for a domain that a node has")
	}
	return nil
}

// provisioner is the node that makes the account: the one that was named, or the one that has
// the account, or the least loaded that makes any.
func (s *server) provisioner(ctx context.Context, q *installRequest) (string, error) {
	nodes, err := s.Ledger.Nodes(ctx)
	if err != nil {
		return "", err
	}
	named := q.Node
	if named == "" {
		page, err := s.Ledger.Sites(ctx, queue.SiteFilter{Account: q.Account, Limit: 1})
		if err != nil {
			return "", err
		}
		for _, site := range page.Items {
			named = site.Node
		}
	}
	if named != "" {
		i := slices.IndexFunc(nodes, func(n queue.NodeInfo) bool { return n.ID == named })
		if i >= 0 && !nodes[i].Provisions {
			return "", invalid(tasks.Problem{Field: "node", Reason: fmt.Sprintf("%s makes no accounts: its worker runs without --provision", named)})
		}
		return named, nil // servingNode tells what else there is to say
	}
	return leastLoaded(nodes)
}

func leastLoaded(nodes []queue.NodeInfo) (string, error) {
	nodes = slices.DeleteFunc(nodes, func(n queue.NodeInfo) bool { return !n.Provisions })
	if len(nodes) == 0 {
		return "", invalid(tasks.Problem{Field: "provision", Reason: "no node of the fleet makes accounts: their workers run without --provision"})
	}
	nodes = slices.DeleteFunc(nodes, func(n queue.NodeInfo) bool { return n.State != queue.NodeUp || n.Late })
	if len(nodes) == 0 {
		return "", newProblem("NODE_UNAVAILABLE", "No node that makes accounts takes new work at the moment").hint("nothing was changed; try again").after(30 * time.Second)
	}
	return slices.MinFunc(nodes, func(a, b queue.NodeInfo) int {
		return cmp.Or(cmp.Compare(a.Sites, b.Sites), cmp.Compare(a.Running, b.Running), cmp.Compare(a.ID, b.ID))
	}).ID, nil
}

// provisions reports an install that is to make its account.
func provisions(op tasks.Op) (bool, error) {
	if op.Kind != kindInstall {
		return false, nil
	}
	task, _, err := tasks.Decode(op.Kind, op.Payload)
	if err != nil {
		return false, err
	}
	install, ok := task.(*tasks.Install)
	return ok && install.Provision, nil
}
