package main

import "testing"

func TestWebhookIsMadeAndItsSecretPrintedAlone(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.on("POST /webhooks", fakeAnswer{status: 201, body: `{"secret":"whsec_abc","webhook":{"id":"wh_1"}}`})
	got := api.wptk("webhooks", "create", "https://example.com/", "--event", "wordpress.install.*")
	if got.status != exitOK || got.out != "whsec_abc\n" {
		t.Errorf("%d %q %q", got.status, got.out, got.err)
	}
	mustContain(t, got.err, "wh_1", "shown this once")
}
