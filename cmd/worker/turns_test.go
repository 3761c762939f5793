package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSuspectWaitsForOthersAndOthersForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns()
		a, err := turns.take(t.Context(), false)
		b, err2 := turns.take(t.Context(), false)
		if err != nil || err2 != nil {
			t.Fatal("two steps do not run beside each other")
		}
		order := make(chan string, 2)
		go func() {
			release, _ := turns.take(t.Context(), true)
			order <- "suspect"
			release()
		}()
		synctest.Wait()
		go func() {
			release, _ := turns.take(t.Context(), false)
			order <- "other"
			release()
		}()
		a()
		a() // given back once, however often it is said
		synctest.Wait()
		select {
		case who := <-order:
			t.Fatalf("%s began beside a step", who)
		default:
		}
		b()
		if first, second := <-order, <-order; first != "suspect" || second != "other" {
			t.Errorf("%s came before %s", first, second)
		}
	})
}

func TestSuspectThatCannotBeAloneRunsInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns()
		if _, err := turns.take(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		release, err := turns.take(t.Context(), true)
		if err != nil || time.Since(began) != alonePatience {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
		if _, err := turns.take(t.Context(), false); err != nil {
			t.Error(err)
		}
		release()
	})
}

func TestWaitForATurnEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns()
		if _, err := turns.take(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		for _, alone := range []bool{false, true} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := turns.take(ctx, alone); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("alone %t: %v", alone, err)
			}
			cancel()
		}
		if turns.waiting != 0 || turns.shared != 0 {
			t.Errorf("%d wait, %d share", turns.waiting, turns.shared)
		}
	})
}
