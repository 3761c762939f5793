package wp

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/wp/wptest"
)

// answering is a site on which one command answers what it is told to.
func answering(t *testing.T, cmd Command, answer string) (*CLI, Site) {
	t.Helper()
	run := wptest.Run{Stdin: cmd.standardInput(), Stdout: "\n{{begin}}\n" + answer + "\n{{end}}\n", Args: append([]string{
		"--path=" + stageOf, "--url=https://blog.test/shop", "--no-color", "--skip-packages", "--skip-plugins", "--skip-themes",
		"--require=access.php", "--require=run.php",
	}, cmd.verbs...)}
	return fakeSite(t, run)
}

// The answer is the site's word: its code can make it say anything.
func TestAddressOfALoginLinkIsAnAddress(t *testing.T) {
	t.Parallel()
	link := LoginLink{Hash: strings.Repeat("a", 64), Op: "op_1", Lifetime: time.Minute}
	for address, good := range map[string]bool{
		"https://blog.test/shop/": true, "http://blog.test/": true, "": false, "javascript:alert(1)//": false,
		"https://user@blog.test/": false, "https://blog.test/?x=": false, "//blog.test/": false,
	} {
		cli, site := answering(t, loginIssue(link), `{"refused":"","id":1,"login":"boss","address":"`+address+`","redirect":"/","expires":1}`)
		got, err := cli.LoginIssue(t.Context(), site, link)
		if (err == nil) != good || good && got.Address != address {
			t.Errorf("%q: %+v %v", address, got, err)
		}
	}
}

func TestRefusalsAreTold(t *testing.T) {
	t.Parallel()
	cli, site := answering(t, hideLogin("backstage", false), `{"refused":"slug_taken","message":"a \u001b[31mpage\n or post"}`)
	_, err := cli.HideLogin(t.Context(), site, "backstage")
	var no *AccessError
	if !errors.As(err, &no) || no.Reason != RefusedSlugTaken || no.Detail != "a page or post" {
		t.Errorf("%v", err)
	}
}

func TestDoorThatDidNotMoveIsNoticed(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		`{"refused":"","was":"","slug":"","url":"https://blog.test/wp-login.php","there":true}`,
		`{"refused":"","was":"","slug":"backstage","url":"https://blog.test/backstage/","there":false}`,
	} {
		cli, site := answering(t, hideLogin("backstage", false), answer)
		if _, err := cli.HideLogin(t.Context(), site, "backstage"); !errors.Is(err, ErrNotApplied) {
			t.Errorf("%s: %v", answer, err)
		}
	}
}
