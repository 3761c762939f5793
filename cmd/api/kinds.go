package main

import (
	"context"
	"fmt"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wispanel/wptk/cmd/internal/seal"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// target is what every change of an existing install has in its body beside the
// kind's own payload.
type target struct {
	ID     string `json:"id" maxLength:"64" example:"wp_4e8a1b2c3d4e5f60" doc:"The install."`
	OnBusy string `json:"on_busy,omitempty" enum:"queue,fail" doc:"When another operation has the install; queue by default."`
}

// kindBody is the body of a change: target and payload side by side, in one
// flat object. The payload's type is the kind's own, so its tags are the API's text.
type kindBody[T any] struct {
	Target target `json:",embed"`
	Task   T      `json:",embed"`
}

// Schema describes the flat object.
func (kindBody[T]) Schema(r huma.Registry) *huma.Schema {
	return flatSchema(r, reflect.TypeFor[target](), reflect.TypeFor[T]())
}

// kindInput is a request with such a body.
type kindInput[T any, P task[T]] struct {
	Body kindBody[T]
}

// task is a pointer to a payload.
type task[T any] interface {
	*T
	tasks.Task
}

// Resolve adds what only the kind can judge to the problems of the types.
func (in *kindInput[T, P]) Resolve(huma.Context) []error {
	return inBody(P(&in.Body.Task).Validate())
}

// addKind registers the route of a kind that changes an existing install: the
// one line that a new kind needs here. Kinds for many take ids and filter as well.
func addKind[T any, P task[T]](s *server, api huma.API, method, path, summary, description string) {
	if tasks.ForMany(P(new(T)).Kind()) {
		add(api, method, path, func(ctx context.Context, in *manyInput[T, P]) (*mutation, error) {
			return s.changeMany(ctx, in.Body.Target, P(&in.Body.Task))
		}, summary, description)
		return
	}
	add(api, method, path, func(ctx context.Context, in *kindInput[T, P]) (*mutation, error) {
		return s.change(ctx, in.Body.Target, P(&in.Body.Task))
	}, summary, description)
}

// change records an op on an existing install.
func (s *server) change(ctx context.Context, to target, task tasks.Task) (*mutation, error) {
	exchangeOf(ctx).target = to.ID
	site, err := s.Ledger.Site(ctx, to.ID)
	if err == nil && !sees(ctx, site.Account) {
		err = queue.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	node, err := s.servingNode(ctx, site.Node)
	if err != nil {
		return nil, err
	}
	op, err := s.opOf(task, site.SiteRef, node.Recipient)
	if err != nil {
		return nil, err
	}
	return s.submit(ctx, queue.Submission{Op: op, FailIfBusy: to.OnBusy == "fail"})
}

// opOf is a task as an op, its secrets sealed to the node that needs them and, if
// one was made up here, also to the API that shows it once.
func (s *server) opOf(task tasks.Task, site tasks.SiteRef, recipient string) (tasks.Op, error) {
	spec, ok := tasks.Lookup(task.Kind())
	if !ok {
		return tasks.Op{}, fmt.Errorf("looking up kind %s: %w", task.Kind(), tasks.ErrUnknownKind)
	}
	revealed, err := s.generate(task)
	if err != nil {
		return tasks.Op{}, err
	}
	if err := tasks.Seal(task, func(plain string) (string, error) { return seal.To(recipient, plain) }); err != nil {
		return tasks.Op{}, err
	}
	payload, err := marshal(task)
	if err != nil {
		return tasks.Op{}, err
	}
	return tasks.Op{Kind: spec.Kind, Class: spec.Class, Site: site, Payload: payload, Revealed: revealed}, nil
}

// generate makes up the secret that a request has left out, and answers it sealed
// to the API, which shows it once. Empty when there is nothing to show.
func (s *server) generate(task tasks.Task) (revealed string, err error) {
	g, ok := task.(tasks.Generator)
	if !ok {
		return "", nil
	}
	secret, _ := g.Generates()
	if *secret != "" {
		return "", nil
	}
	*secret = tasks.Secret(newPassword())
	if d, ok := g.(tasks.Drawer); ok {
		*secret = d.Draw()
	}
	return seal.To(s.Secrets.Recipient(), string(*secret))
}
