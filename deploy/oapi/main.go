// Program oapi installs WordPress, follows it and deletes it again, with nothing but what
// an off-the-shelf generator makes of the API's OpenAPI document: it shows that the document
// is good enough for that. It is a module of its own, so that neither the generator nor
// what it needs comes into the product.
//
//	go generate && WPTK_API=http://… WPTK_KEY=wsp_… go run . alpha.localhost public_html/made
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"

	"github.com/wispanel/wptk/deploy/oapi/gen"
)

//go:generate mkdir -p gen
//go:generate go tool oapi-codegen -generate types,client -package gen -o gen/gen.go ../../cmd/api/testdata/openapi.json

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "oapi: %v\n", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: oapi DOMAIN PATH")
	}
	key := os.Getenv("WPTK_KEY")
	c, err := gen.NewClientWithResponses(os.Getenv("WPTK_API"), gen.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+key)
		return nil
	}))
	if err != nil {
		return fmt.Errorf("making the client: %w", err)
	}
	domain, path, title, user, email := args[0], args[1], "Made by a generated client", "boss", "boss@example.com"
	took, err := c.PostWordpressInstallWithResponse(ctx, nil, gen.InstallRequest{Domain: &domain, Path: &path, Title: &title, AdminUser: &user, AdminEmail: &email})
	if err != nil {
		return fmt.Errorf("installing: %w", err)
	}
	if took.JSON202 == nil {
		return fmt.Errorf("installing: %s %s", took.Status(), took.Body)
	}
	if err := follow(ctx, c, *took.JSON202); err != nil {
		return err
	}
	keep := false
	gone, err := c.DeleteWordpressDeleteWithResponse(ctx, nil, gen.DeleteBody{Id: &took.JSON202.Id, KeepBackup: &keep})
	if err != nil {
		return fmt.Errorf("deleting: %w", err)
	}
	if gone.JSON202 == nil {
		return fmt.Errorf("deleting: %s %s", gone.Status(), gone.Body)
	}
	return follow(ctx, c, *gone.JSON202)
}

// follow prints every change of an operation until it has succeeded.
func follow(ctx context.Context, c *gen.ClientWithResponses, took gen.Accepted) error {
	wait, since := int64(30), int64(0)
	for {
		got, err := c.GetWordpressInstallIdProgressWithResponse(ctx, *took.OperationId, &gen.GetWordpressInstallIdProgressParams{Wait: &wait, Since: &since})
		if err != nil {
			return fmt.Errorf("following %s: %w", took.Type, err)
		}
		op := got.JSON200
		if op == nil {
			return fmt.Errorf("following %s: %s %s", took.Type, got.Status(), got.Body)
		}
		fmt.Printf("%s %s %d %% %s\n", op.Type, op.Status, op.Progress, op.Step)
		if since = op.Seq; !op.Done {
			continue
		}
		if op.Status != gen.OperationStatusSucceeded {
			return fmt.Errorf("%s is %s", op.Type, op.Status)
		}
		return nil
	}
}
