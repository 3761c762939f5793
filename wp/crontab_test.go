package wp

import "testing"

func TestCronLinesOfASiteAreToldFromOthers(t *testing.T) {
	t.Parallel()
	site := Site{Docroot: "/home/a/domains/b.test/public_html", URL: "https://b.test"}
	for line, want := range map[string]bool{
		"* * * * * cd /home/a/domains/b.test/public_html && php wp-cron.php":                         true,
		"* * * * * php /home/a/domains/b.test/public_html/wp-cron.php":                               true,
		"* * * * * (cd '/home/a/domains/b.test/public_html'; x)":                                     true,
		"* * * * * wp --path=/home/a/domains/b.test/public_html":                                     true,
		"* * * * * php /home/a/domains/b.test/public_html2/x; ls /home/a/domains/b.test/public_html": true,
		"@hourly curl -s https://b.test/wp-cron.php?doing_wp_cron":                                   true,
		"@hourly wget http://b.test/wp-cron.php":                                                     true,
		"* * * * * php /home/a/domains/b.test/public_html2/wp-cron.php":                              false,
		"* * * * * tar c /home/a/domains/b.test":                                                     false,
		"# * * * * * php /home/a/domains/b.test/public_html/wp-cron.php":                             false,
		"@hourly curl https://shop.b.test/wp-cron.php":                                               false,
		"@hourly curl https://b.test/shop/wp-cron.php":                                               false,
		"@hourly curl https://ab.test/wp-cron.php":                                                   false,
		"@hourly curl https://b.test/wp-cron.phpx":                                                   false,
		"":                 false,
		"MAILTO=me@b.test": false,
	} {
		if got := cronOf(site, line); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func FuzzMentions(f *testing.F) {
	f.Add("cd /a/b; /a/b2", "/a/b", "", "; ")
	f.Fuzz(func(_ *testing.T, line, word, before, behind string) {
		if word != "" {
			mentions(line, word, before, behind) // ends, and reads nothing beyond the line
		}
	})
}
