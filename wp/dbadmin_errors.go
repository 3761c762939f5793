package wp

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

// Numbers from mariadb.com/kb/en/mariadb-error-code-reference and MySQL's
// server error reference; they agree in these.
var mysqlClasses = map[uint16]error{
	1007: ErrExists, // ER_DB_CREATE_EXISTS
	1050: ErrExists, // ER_TABLE_EXISTS_ERROR

	1021: ErrDatabaseFull, // ER_DISK_FULL
	1114: ErrDatabaseFull, // ER_RECORD_FILE_FULL
	1041: ErrUnavailable,  // ER_OUT_OF_RESOURCES
	1037: ErrUnavailable,  // ER_OUTOFMEMORY

	1040: ErrUnavailable, // ER_CON_COUNT_ERROR
	1053: ErrUnavailable, // ER_SERVER_SHUTDOWN
	1203: ErrUnavailable, // ER_TOO_MANY_USER_CONNECTIONS
	1205: ErrUnavailable, // ER_LOCK_WAIT_TIMEOUT
	1213: ErrUnavailable, // ER_LOCK_DEADLOCK
	1290: ErrUnavailable, // ER_OPTION_PREVENTS_STATEMENT: --read-only
	1317: ErrUnavailable, // ER_QUERY_INTERRUPTED
	1836: ErrUnavailable, // ER_READ_ONLY_MODE
	1927: ErrUnavailable, // ER_CONNECTION_KILLED
}

// cannotUser is ER_CANNOT_USER, "operation … failed for user": of CREATE USER it
// means that there is one, of ALTER USER that there is none.
const cannotUser = 1396

// classify names what was being done and adds the class of the error. The
// server's own text stays in the chain: it quotes names, never passwords.
func classify(doing string, err error) error {
	if err == nil {
		return nil
	}
	if class := classOf(err); class != nil {
		return fmt.Errorf("%s: %w: %w", doing, class, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func classOf(err error) error {
	var server *mysql.MySQLError
	if errors.As(err, &server) {
		return mysqlClasses[server.Number]
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil // the caller's own doing
	}
	var network net.Error
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) || errors.As(err, &network) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) {
		return ErrUnavailable
	}
	return nil
}
