package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Domain is a domain's directory on a node, which is what makes it known. The
// same domain may exist on several nodes, and below several accounts of one: a
// tenant who makes a directory with somebody else's domain takes nothing away.
type Domain struct {
	Node    string
	Account string
	Domain  string // lower case
}

// PublishDomains makes the node's domains known, and those that are gone
// unknown. The list is all of them; only differences are written.
func (n *Node) PublishDomains(ctx context.Context, domains []Domain) error {
	found := make(map[string]string, len(domains))
	for _, d := range domains {
		found[d.Account+"/"+strings.ToLower(d.Domain)] = mark(nil, "")
	}
	if err := n.domains.publish(ctx, n.rdb, found, domainShelf{n}); err != nil {
		return fmt.Errorf("publishing domains of node: %w", err)
	}
	return nil
}

// domainShelf keeps dom:{domain}, a hash of "node/account" -> "1".
type domainShelf struct{ *Node }

func (s domainShelf) put(ctx context.Context, names []string) ([]string, error) {
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, name := range names {
			account, domain, _ := strings.Cut(name, "/")
			pipe.HSet(ctx, s.names.domain(domain), s.config.ID+"/"+account, "1")
		}
		return nil
	})
	return nil, err
}

func (s domainShelf) drop(ctx context.Context, removals map[string]string) ([]string, error) {
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for name := range removals {
			account, domain, _ := strings.Cut(name, "/")
			pipe.HDel(ctx, s.names.domain(domain), s.config.ID+"/"+account)
		}
		return nil
	})
	return nil, err
}

// Domain lists where a domain is known, by node and account; none is no error.
func (c *Client) Domain(ctx context.Context, domain string) ([]Domain, error) {
	domain = strings.ToLower(domain)
	places, err := c.rdb.HKeys(ctx, c.names.domain(domain)).Result()
	if err != nil {
		return nil, fmt.Errorf("finding domain: %w", err)
	}
	slices.Sort(places)
	domains := make([]Domain, 0, len(places))
	for _, place := range places {
		node, account, _ := strings.Cut(place, "/")
		domains = append(domains, Domain{Node: node, Account: account, Domain: domain})
	}
	return domains, nil
}
