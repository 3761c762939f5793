package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

const (
	scanFor  = 2 * time.Second        // how long a new domain may take to be found
	scanLook = 100 * time.Millisecond // between looks
)

// locate finds where a domain lives. One that is not known may just have been
// made, so the nodes are asked to look. A domain of somebody else is not known.
func (s *server) locate(ctx context.Context, q *installRequest) (queue.Domain, error) {
	places, err := s.places(ctx, q)
	if err != nil || len(places) > 0 {
		return onlyOne(places, err)
	}
	if err := s.Ledger.RequestScan(ctx, q.Node); err != nil {
		return queue.Domain{}, err
	}
	ctx, cancel := s.untilClosing(ctx, scanFor)
	defer cancel()
	tick := time.NewTicker(scanLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return queue.Domain{}, newProblem("NOT_FOUND", "Unknown domain "+q.domain()).
				hint("create /home/<account>/domains/%s on a node first", q.domain())
		case <-tick.C:
		}
		places, err := s.places(context.WithoutCancel(ctx), q)
		if err != nil || len(places) > 0 {
			return onlyOne(places, err)
		}
	}
}

func (s *server) places(ctx context.Context, q *installRequest) ([]queue.Domain, error) {
	all, err := s.Ledger.Domain(ctx, q.domain())
	if err != nil {
		return nil, err
	}
	var mine []queue.Domain
	for _, d := range all {
		if sees(ctx, d.Account) && (q.Node == "" || d.Node == q.Node) && (q.Account == "" || d.Account == q.Account) {
			mine = append(mine, d)
		}
	}
	return mine, nil
}

func onlyOne(places []queue.Domain, err error) (queue.Domain, error) {
	if err != nil {
		return queue.Domain{}, err
	}
	if len(places) == 1 {
		return places[0], nil
	}
	var where []string
	for _, p := range places {
		where = append(where, fmt.Sprintf("node %s, account %s", p.Node, p.Account))
	}
	return queue.Domain{}, invalid(tasks.Problem{Field: "node", Reason: "the domain is in several places; say which node or account: " + strings.Join(where, "; ")})
}

// servingNode is a node that takes new work now.
func (s *server) servingNode(ctx context.Context, id string) (queue.NodeInfo, error) {
	node, err := s.Ledger.Node(ctx, id)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return queue.NodeInfo{}, err
	}
	switch {
	case err != nil || node.State == queue.NodeLost:
		return node, newProblem("NODE_UNAVAILABLE", "The node of this domain is not reachable").hint("nothing was changed; try again").after(30 * time.Second)
	case node.State == queue.NodeDraining:
		return node, newProblem("NODE_UNAVAILABLE", "The node of this domain takes no new work at the moment").hint("nothing was changed; try again").after(60 * time.Second)
	}
	return node, nil
}
