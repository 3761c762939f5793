package main

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// newestFirst sorts version numbers by their parts: 6.10 is newer than 6.9.
func newestFirst(set map[string]bool) []string {
	list := slices.Collect(maps.Keys(set))
	slices.SortFunc(list, func(a, b string) int { return compareVersions(b, a) })
	return orEmpty(list)
}

func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		if c := cmp.Compare(versionPart(as, i), versionPart(bs, i)); c != 0 {
			return c
		}
	}
	return strings.Compare(a, b)
}

// versionPart is -1 for a part that is no number, so that 6.5-beta1 is before 6.5.
func versionPart(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, err := strconv.Atoi(parts[i])
	if err != nil {
		return -1
	}
	return n
}
