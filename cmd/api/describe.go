package main

import (
	"context"
	"errors"
)

// What hand-written handlers take and answer, for the document only.

var errDescribed = errors.New("this operation is answered by a handler of its own")

type progressInput struct {
	ID    string `path:"id" doc:"An install's id (its newest operation) or an operation's."`
	Wait  int    `query:"wait" minimum:"0" maximum:"60" doc:"Seconds to wait for a change before answering."`
	Since int64  `query:"since" minimum:"0" doc:"The seq that is known already."`
}

type progressAnswer struct {
	RetryAfter int `header:"Retry-After" doc:"While it runs: seconds until asking again makes sense."`
	Body       operation
}

func describeProgress(context.Context, *progressInput) (*progressAnswer, error) {
	return nil, errDescribed
}

type eventsInput struct {
	ID   string `path:"id" doc:"An operation's id, or an install's for its newest operation."`
	Last string `header:"Last-Event-ID" doc:"Resume behind this event."`
}

type eventsAnswer struct {
	ContentType string `header:"Content-Type"`
	Body        []byte `contentType:"text/event-stream"`
}

func describeEvents(context.Context, *eventsInput) (*eventsAnswer, error) {
	return nil, errDescribed
}

type accountEventsInput struct {
	Account string `query:"account" maxLength:"64" doc:"Whose operations: the key's own by default, of an admin's key those of all."`
	Last    string `header:"Last-Event-ID" doc:"Resume behind this event."`
}

func describeAccountEvents(context.Context, *accountEventsInput) (*eventsAnswer, error) {
	return nil, errDescribed
}

type siteEventsInput struct {
	ID   string `path:"id" doc:"An install's id, which may be about to be made."`
	Last string `header:"Last-Event-ID" doc:"Resume behind this event."`
}

func describeSiteEvents(context.Context, *siteEventsInput) (*eventsAnswer, error) {
	return nil, errDescribed
}
