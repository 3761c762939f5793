package queue

// What is rung on a node's doorbell, the channel wake.<node>.
const (
	bellTask   = "task "   // + class: a lane got a task
	bellCancel = "cancel " // + op id: a running op is to stop
	bellScan   = "scan"    // look at the disk again
)
