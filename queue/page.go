package queue

// Page is a part of a list.
type Page[T any] struct {
	Items []T
	Next  string // cursor of the next page; "" at the end of the list
}
