package main

import (
	"context"
	"net/http"

	"github.com/wispanel/wptk/queue"
)

// deliveryView is one event on its way to a webhook.
type deliveryView struct {
	ID          string `json:"id" example:"dlv_0123456789abcdef0123456789abcdef" doc:"Also in the headers of every attempt."`
	Event       string `json:"event" example:"wordpress.install.succeeded"`
	OperationID string `json:"operation_id"`
	Status      string `json:"status" enum:"waiting,delivered,failed"`
	Attempts    int    `json:"attempts"`
	Answer      int    `json:"response_status" doc:"HTTP status of the last attempt; 0 without an answer."`
	Error       string `json:"error" doc:"Of the last attempt."`
	Millis      int64  `json:"duration_ms" doc:"Of the last attempt."`
	CreatedAt   stamp  `json:"created_at"`
	TriedAt     stamp  `json:"tried_at"`
	NextAt      stamp  `json:"next_at"`
	EndedAt     stamp  `json:"ended_at"`
}

func viewDelivery(d queue.Delivery) deliveryView {
	return deliveryView{
		ID: d.ID, Event: d.Event, OperationID: d.OpID, Status: string(d.State), Attempts: d.Tries, Answer: d.Status, Error: d.Error,
		Millis: d.Took.Milliseconds(), CreatedAt: stamp(d.CreatedAt), TriedAt: stamp(d.TriedAt), NextAt: stamp(d.NextAt), EndedAt: stamp(d.EndedAt),
	}
}

type deliveriesAnswer struct {
	Body struct {
		Success    bool           `json:"success"`
		Deliveries []deliveryView `json:"deliveries" doc:"Those that wait (at most 200), then the last 100 that have ended."`
	}
}

func (s *server) listDeliveries(ctx context.Context, in *webhookInput) (*deliveriesAnswer, error) {
	w, err := s.webhook(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	list, err := s.Ledger.Deliveries(ctx, w.ID)
	if err != nil {
		return nil, err
	}
	out := &deliveriesAnswer{}
	out.Body.Success, out.Body.Deliveries = true, make([]deliveryView, len(list))
	for i, d := range list {
		out.Body.Deliveries[i] = viewDelivery(d)
	}
	return out, nil
}

type deliveryAnswer struct {
	Status int
	Body   struct {
		Success  bool         `json:"success"`
		Delivery deliveryView `json:"delivery"`
	}
}

func answerDelivery(d queue.Delivery, err error) (*deliveryAnswer, error) {
	if err != nil {
		return nil, err
	}
	out := &deliveryAnswer{Status: http.StatusAccepted}
	out.Body.Success, out.Body.Delivery = true, viewDelivery(d)
	return out, nil
}

func (s *server) testWebhook(ctx context.Context, in *webhookInput) (*deliveryAnswer, error) {
	w, err := s.webhook(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answerDelivery(s.Ledger.TestWebhook(ctx, w.ID))
}

type redeliverInput struct {
	ID       string `path:"id" maxLength:"64"`
	Delivery string `path:"delivery" maxLength:"64"`
}

func (s *server) redeliver(ctx context.Context, in *redeliverInput) (*deliveryAnswer, error) {
	w, err := s.webhook(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answerDelivery(s.Ledger.Redeliver(ctx, w.ID, in.Delivery))
}
