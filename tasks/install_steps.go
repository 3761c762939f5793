package tasks

// Steps lists what an install does on the node.
func (p *Install) Steps(*Run) []Step { return nil }
