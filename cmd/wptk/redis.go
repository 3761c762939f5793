package main

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/wispanel/wptk/cmd/internal/boot"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// redisCmd is about the toolkit's Redis itself. It asks nothing of it.
type redisCmd struct {
	ACL redisACLCmd `cmd:"" name:"acl" help:"Print logins that can do what their process needs, and no more."`
}

type redisACLCmd struct {
	Node         []string `help:"A node's; may be repeated." env:"-" placeholder:"ID"`
	API          bool     `name:"apis" help:"The APIs', and the operator's." env:"-"`
	Monitor      bool     `help:"That of health checks and exporters." env:"-"`
	PasswordFile string   `help:"File with the password of the login, of which the hash is printed. Without it a password has to be set beside the rules." env:"-" placeholder:"FILE"`
	For          string   `help:"Version of Redis from which on the rules are good: before 6.2 channels are open to all, before 7.0 nodes also read what they share." enum:"6.0,6.2,7.0" default:"7.0" env:"-"`
	File         bool     `help:"As lines of an aclfile instead of commands." env:"-"`
}

// Run prints a line for each login.
func (cmd *redisACLCmd) Run(a *app) error {
	var logins []queue.Login
	for _, node := range cmd.Node {
		l, err := queue.NodeLogin("", node)
		if err != nil {
			return usage("--node: %v", err)
		}
		logins = append(logins, l)
	}
	if cmd.API {
		logins = append(logins, queue.APILogin(""))
	}
	if cmd.Monitor {
		logins = append(logins, queue.MonitorLogin())
	}
	if len(logins) == 0 || cmd.PasswordFile != "" && len(logins) > 1 {
		return usage("redis acl: name what it is for: --node, --apis or --monitor; with --password-file one of them")
	}
	password, err := boot.ReadSecret("--password-file", cmd.PasswordFile)
	if err != nil {
		return err
	}
	if cmd.PasswordFile != "" && password == "" {
		return usage("--password-file: %s is empty", cmd.PasswordFile)
	}
	cmd.warnOfShared(a)
	start := "ACL SETUSER "
	if cmd.File {
		start = "user "
	}
	for _, l := range logins {
		rules := l.Rules(cmd.For)
		if password != "" {
			sum := sha256.Sum256([]byte(password))
			rules += " #" + hex.EncodeToString(sum[:])
		}
		if a.json {
			if err := a.object(map[string]string{"user": l.Name, "rules": rules}); err != nil {
				return err
			}
			continue
		}
		say(a.out, "%s%s", start, rules)
	}
	return nil
}

// warnOfShared tells which of the nodes have the same part of the ledger.
func (cmd *redisACLCmd) warnOfShared(a *app) {
	first := map[string]string{}
	for _, node := range cmd.Node {
		shard := tasks.NodeShard(node)
		if other := first[shard]; other != "" && other != node {
			say(a.err, "Nodes %s and %s have the same part of the ledger: each one's login reads the other's operations. Another id for one of them separates them.", other, node)
		}
		first[shard] = node
	}
}
