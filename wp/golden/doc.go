// Package golden makes the rows of a new WordPress from those of one that was really
// installed: the sample. What belongs to one install alone (address, title, administrator,
// table prefix, password, points in time) has values in the sample that occur nowhere else,
// and is replaced cell by cell, with lengths inside of what PHP has serialized kept true.
//
// Nothing here knows what WordPress stores where. A template is therefore compared with a
// second real installation that had other values (Check) before it is used.
//
// The package is pure: no database, no files.
package golden
