package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wispanel/wptk/wp"
)

// ValidNewAccount says what is wrong with the name of an account that is to be made; "" is
// nothing.
func ValidNewAccount(account string) string { return wp.ValidNewAccount(account) }

// makeAccount makes account and domain as far as they are missing, and finds the site's place
// again: when the op began there was none.
func (in *installer) makeAccount(ctx context.Context) error {
	if found := in.ask.Validate(); len(found) > 0 {
		return invalidPayload(found...) // before there is anything to undo
	}
	order, err := in.newAccount()
	if err != nil {
		return err
	}
	if in.Host.Accounts == nil {
		return accountError(wp.ErrNotOffered)
	}
	if err := in.Host.Accounts.Make(ctx, order); err != nil {
		return accountError(err)
	}
	in.findAgain()
	return in.Missing
}

func (in *installer) newAccount() (wp.NewAccount, error) {
	ref := in.Op.Site
	order := wp.NewAccount{Account: ref.Account, Domain: ref.Domain, Op: in.Op.ID, Remember: func(p wp.Provisioned) error {
		text, err := json.Marshal(p)
		if err != nil {
			return fmt.Errorf("encoding account: %w", err)
		}
		return in.Set(keyAccount, string(text))
	}}
	if text := in.Get(keyAccount); text != "" {
		order.Made = new(wp.Provisioned)
		if err := json.Unmarshal([]byte(text), order.Made); err != nil {
			return order, fmt.Errorf("reading account: %w", err)
		}
	}
	return order, nil
}

func (in *installer) findAgain() {
	ref := in.Op.Site
	in.Site, in.Missing = in.Host.Find(ref.Account, ref.Domain, ref.Path)
	in.Site.ID = ref.ID
}

// removeAccount takes back what makeAccount has made, once everything below it is gone.
func (in *installer) removeAccount(ctx context.Context) error {
	order, err := in.newAccount()
	if err != nil || order.Made == nil {
		return err
	}
	if in.Host.Accounts == nil {
		return errors.New("taking back account: this node has no means for it")
	}
	err = in.Host.Accounts.Retract(ctx, order)
	in.findAgain()
	if errors.Is(err, wp.ErrAccountInUse) {
		return Permanent(err, Failure{Code: CodeConflict, Message: "The domain's new directory has files in it."})
	}
	return err
}

func accountError(err error) error {
	var f Failure
	switch {
	case errors.Is(err, wp.ErrNotOffered), errors.Is(err, wp.ErrNeedsRoot):
		f = Failure{Code: CodeUnavailable, Message: "This node makes no accounts.",
			Hint: "Have the operator start its worker as root with --provision, name another node, or make the account and the domain's directory first."}
	case errors.Is(err, wp.ErrAccountTaken):
		f = Failure{Code: CodeConflict, Message: "The account's name is taken on this node, or its directories are not the toolkit's to add to.",
			Hint: "Choose another account. For one that is there already make the domain's directory first, owned by it, and install without provision."}
	case errors.Is(err, wp.ErrDomainTaken):
		f = Failure{Code: CodeConflict, Message: "Another account of this node has the domain.", Hint: "Name that account, or remove its directory of the domain first."}
	case errors.Is(err, wp.ErrForeign):
		return missingSite(err)
	default:
		return err
	}
	return Permanent(err, f)
}
