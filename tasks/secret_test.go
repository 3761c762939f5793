package tasks

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const plainPassword = "S3cure•pass-4711"

func sealForTest(plain string) (string, error) {
	return sealedPrefix + base64.StdEncoding.EncodeToString([]byte(plain)), nil
}

func openForTest(sealed string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sealed, sealedPrefix))
	return string(b), err
}

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	sealed, _ := sealForTest(plainPassword)
	for _, secret := range []Secret{plainPassword, Secret(sealed)} {
		task := &Install{AdminUser: "alice", AdminPassword: secret}
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s"} {
			fmt.Fprintf(&out, verb+"\n", secret)
			fmt.Fprintf(&out, verb+"\n", task)
			fmt.Fprintf(&out, verb+"\n", *task)
			fmt.Fprintf(&out, verb+"\n", []Secret{secret})
		}
		fmt.Fprintln(&out, secret, errors.New(secret.String()))
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", secret, "task", task)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", secret)
		hex := fmt.Sprintf("%x", string(secret))
		for _, leak := range []string{string(secret), hex, strings.ToUpper(hex)} {
			if strings.Contains(out.String(), leak) {
				t.Fatalf("%q is in the output:\n%s", leak, out.String())
			}
		}
	}
}

func TestPlainSecretIsNeverEncoded(t *testing.T) {
	t.Parallel()
	_, err := json.Marshal(&Install{AdminPassword: plainPassword})
	if !errors.Is(err, ErrUnsealed) {
		t.Fatalf("encoding a plain secret: %v", err)
	}
}

func TestSealedSecretOpensOnTheNode(t *testing.T) {
	t.Parallel()
	// The second one looks sealed already, and must not be taken for it.
	for _, password := range []string{plainPassword, "age:" + plainPassword} {
		task := &Install{AdminPassword: Secret(password)}
		if err := Seal(task, sealForTest); err != nil {
			t.Fatal(err)
		}
		payload, err := json.Marshal(task)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(payload, []byte(plainPassword)) {
			t.Fatalf("the payload shows the password: %s", payload)
		}
		got, spec, err := Decode("install", payload)
		if err != nil || spec.Kind != "install" {
			t.Fatal(spec.Kind, err)
		}
		run := &Run{Open: openForTest}
		opened, err := run.Reveal(got.(*Install).AdminPassword)
		if err != nil || opened != password {
			t.Fatalf("opened to another text, %v", err)
		}
	}
}

type nested struct {
	*Install
	Inner  struct{ Token Secret }
	List   []Secret
	Ptr    *Secret
	Absent *Secret
}

func TestSealFindsSecretsAnywhereInAPayload(t *testing.T) {
	t.Parallel()
	ptr := Secret("four")
	n := &nested{Install: &Install{AdminPassword: "one"}, List: []Secret{"three", ""}, Ptr: &ptr}
	n.Inner.Token = "two"
	if err := Seal(n, sealForTest); err != nil {
		t.Fatal(err)
	}
	for _, s := range []Secret{n.AdminPassword, n.Inner.Token, n.List[0], *n.Ptr} {
		if !s.Sealed() {
			t.Errorf("%d bytes stayed plain", len(s))
		}
	}
	if n.List[1] != "" {
		t.Error("an absent secret was sealed")
	}
}

type inMap struct {
	Install
	Tokens map[string]Secret
}

func TestSealRefusesWhatItCannotSeal(t *testing.T) {
	t.Parallel()
	if err := Seal(&inMap{}, sealForTest); err == nil {
		t.Error("a map with secrets was accepted")
	}
	echo := func(plain string) (string, error) { return plain, nil }
	if err := Seal(&Install{AdminPassword: plainPassword}, echo); err == nil || strings.Contains(err.Error(), plainPassword) {
		t.Errorf("a sealer that does not seal: %v", err)
	}
	broken := errors.New("no recipient")
	if err := Seal(&Install{AdminPassword: plainPassword}, func(string) (string, error) { return "", broken }); !errors.Is(err, broken) {
		t.Errorf("a broken sealer: %v", err)
	}
}

func TestRevealRefusesPlainSecrets(t *testing.T) {
	t.Parallel()
	run := &Run{Open: openForTest}
	if _, err := run.Reveal(plainPassword); err == nil || strings.Contains(err.Error(), plainPassword) {
		t.Errorf("plain: %v", err)
	}
	if got, err := run.Reveal(""); got != "" || err != nil {
		t.Errorf("absent: %q %v", got, err)
	}
	run.Open = func(string) (string, error) { return "", errors.New("no identity matched") }
	if _, err := run.Reveal("age:xyz"); FailureOf(err).Code != CodeInvalidPayload || !lasting(err) {
		t.Errorf("sealed to another key: %v", err)
	}
}
