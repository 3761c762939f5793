package tasks

import "slices"

// nothingToGuard stands in keySafe of a safe update that found nothing to do.
const nothingToGuard = "{}"

// idle reports that no item is to be changed.
func (p *extensionPlan) idle() bool {
	return !slices.ContainsFunc(p.Items, func(c itemChange) bool { return c.Status == "" })
}

func (x *extensionOp) idle() (bool, error) {
	if err := x.load(); err != nil {
		return false, err
	}
	return x.Get(keySafe) == nothingToGuard, nil
}

// kept names the files of the items, which are copied before they are replaced.
func (x *extensionOp) kept() ([]string, error) {
	if err := x.load(); err != nil {
		return nil, err
	}
	var files []string
	for _, c := range x.plan.Items {
		if c.Unpack || c.Remove {
			files = append(files, c.Path)
		}
	}
	return files, nil
}

// tellBack is the result of an update that was taken back: no item is changed, whichever of
// them it was.
func (x *extensionOp) tellBack(report SafeReport) (any, error) {
	if err := x.load(); err != nil {
		return nil, err
	}
	f := Failure{Code: CodeUpdateBrokeSite, Message: "All of the update was taken back.", Hint: "The error of the operation says why."}
	items := slices.Clone(x.plan.Items)
	for i, c := range items {
		if c.Status == ItemSucceeded || c.Status == "" {
			items[i] = c.failed(f, false)
		}
	}
	result := resultOf(items)
	result.Safe = &report
	if x.family.word == themeFamily.word {
		result.ActiveTheme = x.plan.Theme
	}
	return result, nil
}
