package wp

import (
	"context"
	"fmt"
	"time"
)

// DatabaseStatus is how the node's database server is.
type DatabaseStatus struct {
	Took        time.Duration // to answer a query that reads nothing
	Connections float64       // open now, ours included
	Limit       float64       // max_connections
	Running     float64       // that work on something now
	Slow        float64       // queries over long_query_time since its start
	Queries     float64       // since its start
}

// Status asks the server.
func (a *Admin) Status(ctx context.Context) (DatabaseStatus, error) {
	var s DatabaseStatus
	began := time.Now()
	if err := a.db.QueryRowContext(ctx, "SELECT @@GLOBAL.max_connections").Scan(&s.Limit); err != nil {
		return s, fmt.Errorf("reading database status: %w", err)
	}
	s.Took = time.Since(began)
	fields := map[string]*float64{"Threads_connected": &s.Connections, "Threads_running": &s.Running, "Slow_queries": &s.Slow, "Queries": &s.Queries}
	rows, err := a.db.QueryContext(ctx, "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Threads_running', 'Slow_queries', 'Queries')")
	if err != nil {
		return s, fmt.Errorf("reading database status: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var value float64
		if err := rows.Scan(&name, &value); err != nil {
			return s, fmt.Errorf("reading database status: %w", err)
		}
		if into := fields[name]; into != nil {
			*into = value
		}
	}
	if err := rows.Err(); err != nil {
		return s, fmt.Errorf("reading database status: %w", err)
	}
	return s, nil
}
