package wp

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Version is a version of WordPress, a plugin or a theme: numbers, and perhaps a
// pre-release. "6.9-RC1" < "6.9" = "6.9.0" < "6.9.1" < "6.10".
type Version struct {
	raw  string
	nums [6]int
	pre  int // rank: alpha 1, beta 2, RC 3, none 4
	preN int
}

var (
	versionPattern = regexp.MustCompile(`(?i)^(\d{1,8}(?:\.\d{1,8}){0,5})(?:[-.]?(alpha|beta|rc|a|b)[-.]?(\d{1,8})?)?$`)
	branchPattern  = regexp.MustCompile(`^\d{1,3}\.\d{1,3}$`)
	preRanks       = map[string]int{"a": 1, "alpha": 1, "b": 2, "beta": 2, "rc": 3, "": 4}
)

// ParseVersion reads "6.9", "6.5.2", "6.9-RC1", "7.0-alpha-60123", "4.1.0.1".
func ParseVersion(s string) (Version, error) {
	m := versionPattern.FindStringSubmatch(s)
	if m == nil {
		return Version{}, fmt.Errorf("version %q: expected a form such as 6.5, 6.5.2 or 6.9-RC1", cleanLine(s, 40))
	}
	v := Version{raw: s, pre: preRanks[strings.ToLower(m[2])]}
	for i, part := range strings.Split(m[1], ".") {
		v.nums[i], _ = strconv.Atoi(part) // digits only, 8 at most
	}
	v.preN, _ = strconv.Atoi(m[3])
	return v, nil
}

// String is the version as it was written.
func (v Version) String() string { return v.raw }

// IsZero reports the value that is no version.
func (v Version) IsZero() bool { return v.raw == "" }

// Stable reports that it is not a pre-release.
func (v Version) Stable() bool { return v.pre == 4 }

// Compare is -1, 0 or 1.
func (v Version) Compare(o Version) int {
	return cmp.Or(slices.Compare(v.nums[:], o.nums[:]), cmp.Compare(v.pre, o.pre), cmp.Compare(v.preN, o.preN))
}

// Branch is "6.5" of 6.5.2: what WordPress calls a major release.
func (v Version) Branch() string { return fmt.Sprintf("%d.%d", v.nums[0], v.nums[1]) }

// pick resolves a request against what there is: "" and "latest" are the newest
// stable version, "6.5" is the newest stable of that branch (6.5.0 is the first
// one, exactly), everything else is itself. Of core only: a plugin's 1.2 may well
// be a version.
func pick(available []Version, request string, branches bool) (Version, bool) {
	best, found := Version{}, false
	want, err := ParseVersion(request)
	for _, v := range available {
		var fits bool
		switch {
		case request == "" || request == "latest":
			fits = v.Stable()
		case err != nil:
			return Version{}, false
		case branches && branchPattern.MatchString(request):
			fits = v.Stable() && v.Branch() == want.Branch()
		default:
			fits = v.Compare(want) == 0
		}
		if fits && (!found || v.Compare(best) > 0) {
			best, found = v, true
		}
	}
	return best, found
}

// newestFirst sorts in place.
func newestFirst(vs []Version) { slices.SortFunc(vs, func(a, b Version) int { return b.Compare(a) }) }
