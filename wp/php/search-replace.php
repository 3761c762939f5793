<?php
/**
 * Loaded for "wptk search-replace" only (--require). What is to be replaced comes as JSON on
 * standard input, so it may be anything; the counts go out as JSON.
 *
 * A table is changed in one transaction, together with a note (an option) that it is done; a
 * run that is cut short goes on behind it.
 *
 * PHP 7.4 syntax.
 */

require_once __DIR__ . '/rewriter.php';

/**
 * Goes through the tables.
 */
final class Wptk_Search_Replace {
	const PAGE   = 100; // Rows that are in memory at one time.
	const PASSES = 5;
	const NOTE   = '_wptk_replace_';

	private $in;
	private $rewriter;
	private $note;
	private $engines = array();
	private $counts  = array(); // By table and column: cells that were, or would be, changed.
	private $skipped = array();
	private $failed  = array(); // By table: cells that the database or the expression refused.

	public function __construct( array $in ) {
		$this->in       = $in;
		$this->note     = self::NOTE . $in['op'];
		$this->rewriter = new Wptk_Rewriter( $in['search'], $in['replace'], $in['regex'] );
	}

	public function run() {
		global $wpdb;
		$wpdb->hide_errors();
		$wpdb->suppress_errors();
		$problem = $this->rewriter->problem();
		if ( $problem ) {
			return $this->refuse( 'search', $problem );
		}
		if ( $this->in['network'] && ! is_multisite() ) {
			return $this->refuse( 'network', 'is only for a network of sites, and this is a single one' );
		}
		$tables  = $this->tables();
		$unknown = array();
		foreach ( $this->in['tables'] as $wanted ) {
			$fitting = array_filter(
				$tables,
				static function ( $table ) use ( $wanted ) {
					return fnmatch( $wanted, $table );
				}
			);
			if ( ! $fitting ) {
				$unknown[] = $wanted;
			}
		}
		if ( $unknown ) {
			return $this->refuse( 'tables', 'fits no table of this install: ' . implode( ', ', array_slice( $unknown, 0, 10 ) ) );
		}
		if ( $this->in['tables'] ) {
			$tables = array_filter( $tables, array( $this, 'wanted' ) );
		}
		return $this->in['apply'] ? $this->apply( $tables ) : $this->count( $tables );
	}

	private function refuse( $field, $reason ) {
		return array(
			'invalid' => array(
				'field'  => $field,
				'reason' => $reason,
			),
		);
	}

	private function wanted( $table ) {
		foreach ( $this->in['tables'] as $wanted ) {
			if ( fnmatch( $wanted, $table ) ) {
				return true;
			}
		}
		return false;
	}

	private function count( $tables ) {
		foreach ( $tables as $table ) {
			$this->table( $table, false );
		}
		return $this->report( 0, $this->total() );
	}

	private function apply( $tables ) {
		$this->first( $tables );
		$passes = 1;
		$left   = 0;
		// The site is alive: what it has written meanwhile is found by looking again. An expression
		// could match its own replacement, so it goes once.
		while ( null !== $this->rewriter->needles && $passes <= self::PASSES ) {
			$before = $this->total();
			foreach ( $tables as $table ) {
				$this->changed( $table );
			}
			$left = $this->total() - $before;
			if ( 0 === $left ) {
				break;
			}
			++$passes;
		}
		return $this->report( $passes, $left );
	}

	/**
	 * The first pass, which goes on where an earlier run of this operation was cut short.
	 */
	private function first( $tables ) {
		global $wpdb;
		$noted = json_decode( (string) $wpdb->get_var( $wpdb->prepare( "SELECT option_value FROM $wpdb->options WHERE option_name = %s", $this->note ) ), true );
		$done  = isset( $noted['done'] ) ? $noted['done'] : array();
		$open  = isset( $noted['open'] ) ? $noted['open'] : '';
		foreach ( $done as $table => $columns ) {
			if ( $columns ) {
				$this->counts[ $table ] = $columns;
			}
		}
		foreach ( $tables as $table ) {
			if ( isset( $done[ $table ] ) ) {
				continue;
			}
			if ( null === $this->rewriter->needles && 'InnoDB' !== $this->engines[ $table ] ) {
				if ( $table === $open ) {
					$this->half( $table, 'an earlier run was cut short in it; as its engine has no transactions, it may be half done' );
					$done[ $table ] = array();
					continue;
				}
				$this->write_note( $done, $table );
			}
			$this->changed(
				$table,
				function () use ( &$done, $table ) {
					$done[ $table ] = isset( $this->counts[ $table ] ) ? $this->counts[ $table ] : array();
					$this->write_note( $done, '' );
				}
			);
		}
	}

	private function write_note( $done, $open ) {
		global $wpdb;
		$note = wp_json_encode(
			array(
				'done' => $done,
				'open' => $open,
			)
		);
		$sql  = "INSERT INTO $wpdb->options (option_name, option_value, autoload) VALUES (%s, %s, 'no') ON DUPLICATE KEY UPDATE option_value = VALUES(option_value)";
		$wpdb->query( $wpdb->prepare( $sql, $this->note, $note ) );
	}

	/**
	 * Changes one table in a transaction.
	 */
	private function changed( $table, $before_commit = null ) {
		global $wpdb;
		// With row locks on what is changed only, the site goes on meanwhile.
		if ( 'STATEMENT' !== $wpdb->get_var( 'SELECT @@binlog_format' ) ) {
			$wpdb->query( 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED' );
		}
		$wpdb->query( 'START TRANSACTION' );
		$session = $wpdb->get_var( 'SELECT CONNECTION_ID()' );
		$this->table( $table, true );
		if ( $before_commit ) {
			$before_commit();
		}
		$wpdb->query( 'COMMIT' );
		if ( $wpdb->get_var( 'SELECT CONNECTION_ID()' ) !== $session ) {
			// wpdb has connected anew without a word, and the transaction is gone.
			$this->half( $table, 'the connection to the database was lost in it; it may be half done' );
		}
	}

	private function table( $table, $change ) {
		global $wpdb;
		$name    = '`' . $table . '`';
		$keys    = array();
		$text    = array();
		$columns = $wpdb->get_results( "SHOW COLUMNS FROM $name" );
		if ( ! $columns ) {
			$this->half( $table, 'the database refused to read it' );
			return;
		}
		foreach ( $columns as $column ) {
			if ( 'PRI' === $column->Key ) {
				$keys[ $column->Field ] = false !== strpos( $column->Type, 'int' );
			} elseif ( preg_match( '/text|char/i', $column->Type ) && false === stripos( $column->Extra, 'GENERATED' )
				&& 'user_pass' !== $column->Field && ( 'guid' !== $column->Field || $this->in['include_guid'] ) ) {
				$text[] = $column->Field;
			}
		}
		if ( ! $text ) {
			return;
		}
		if ( ! $keys ) {
			$this->skip( $table, 'it has no primary key' );
			return;
		}
		$quote = static function ( $column ) {
			return '`' . str_replace( '`', '``', $column ) . '`';
		};
		$order = implode( ', ', array_map( $quote, array_keys( $keys ) ) );
		$sql   = 'SELECT ' . $order . ', ' . implode( ', ', array_map( $quote, $text ) ) . " FROM $name WHERE (" . implode( ' OR ', $this->matches( array_map( $quote, $text ) ) ) . ')';
		if ( $table === $wpdb->options ) {
			$sql .= $wpdb->prepare( ' AND option_name NOT LIKE %s', $wpdb->esc_like( self::NOTE ) . '%' );
		}
		$behind = '';
		do {
			$rows = (array) $wpdb->get_results( "$sql $behind ORDER BY $order LIMIT " . self::PAGE, ARRAY_A );
			foreach ( $rows as $row ) {
				$this->row( $table, $row, array_keys( $keys ), $text, $change );
			}
			$wpdb->queries = array(); // SAVEQUERIES would keep them all.
			if ( $rows ) {
				$values = array();
				foreach ( $keys as $key => $number ) {
					$value    = end( $rows )[ $key ];
					$values[] = $number && preg_match( '/^-?\d+$/', $value ) ? $value : "'" . esc_sql( $value ) . "'";
				}
				$behind = "AND ($order) > (" . implode( ', ', $values ) . ')';
			}
		} while ( count( $rows ) === self::PAGE );
		if ( $wpdb->last_error ) {
			$this->half( $table, 'the database refused to read it' );
			$wpdb->last_error = '';
		}
	}

	/**
	 * Conditions for the cells that may have to change.
	 */
	private function matches( $columns ) {
		global $wpdb;
		$all = array();
		foreach ( $columns as $column ) {
			if ( null === $this->rewriter->needles ) {
				$all[] = "$column <> ''";
				continue;
			}
			foreach ( $this->rewriter->needles as $needle ) {
				// Bytes are compared, so both sides have to be of one character set.
				$cell  = preg_match( '/[\x80-\xff]/', $needle ) ? "CONVERT($column USING utf8mb4)" : $column;
				$all[] = $wpdb->prepare( "$cell LIKE BINARY %s", '%' . $wpdb->esc_like( $needle ) . '%' );
			}
		}
		return $all;
	}

	private function row( $table, $row, $keys, $text, $change ) {
		global $wpdb;
		$cells = array();
		foreach ( $text as $column ) {
			if ( null === $row[ $column ] || '' === $row[ $column ] ) {
				continue;
			}
			try {
				$new = $this->rewriter->value( $row[ $column ] );
			} catch ( UnexpectedValueException $e ) {
				$this->fail( $table, 1 );
				continue;
			}
			if ( $new !== $row[ $column ] ) {
				$cells[ $column ] = $new;
			}
		}
		if ( ! $cells ) {
			return;
		}
		if ( $change && false === $wpdb->update( $table, $cells, array_intersect_key( $row, array_flip( $keys ) ), '%s', '%s' ) ) {
			$wpdb->last_error = '';
			$this->fail( $table, count( $cells ) );
			return;
		}
		foreach ( array_keys( $cells ) as $column ) {
			$this->counts[ $table ][ $column ] = isset( $this->counts[ $table ][ $column ] ) ? $this->counts[ $table ][ $column ] + 1 : 1;
		}
	}

	/**
	 * The tables of this install, and only its own.
	 */
	private function tables() {
		global $wpdb;
		$found = $wpdb->get_results(
			$wpdb->prepare(
				"SELECT TABLE_NAME AS name, ENGINE AS engine FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' AND TABLE_NAME LIKE %s ORDER BY TABLE_NAME",
				$wpdb->esc_like( $wpdb->base_prefix ) . '%'
			)
		);
		foreach ( (array) $found as $table ) {
			$this->engines[ $table->name ] = $table->engine;
		}
		$others = array();
		foreach ( array_keys( $this->engines ) as $name ) {
			// A prefix that begins with ours and has users of its own is another install's.
			$prefix = preg_replace( '/usermeta$/', '', $name );
			if ( $prefix !== $name && $prefix !== $wpdb->base_prefix && isset( $this->engines[ $prefix . 'options' ] ) ) {
				$others[] = $prefix;
			}
		}
		$tables = array();
		foreach ( array_keys( $this->engines ) as $name ) {
			$name = (string) $name;
			if ( ! preg_match( '/^[A-Za-z0-9_$.-]+$/', $name ) ) {
				$this->skip( $name, 'its name has characters that WordPress does not use' );
				continue;
			}
			if ( is_multisite() && ! $this->in['network'] && preg_match( '/^' . preg_quote( $wpdb->base_prefix, '/' ) . '\d+_/', $name ) ) {
				continue;
			}
			foreach ( $others as $prefix ) {
				if ( 0 === strpos( $name, $prefix ) ) {
					continue 2;
				}
			}
			$tables[] = $name;
		}
		return $tables;
	}

	private function skip( $table, $reason ) {
		$this->skipped[ $table ] = $reason;
	}

	/**
	 * A table that was not gone through to its end.
	 */
	private function half( $table, $reason ) {
		$this->skip( $table, $reason );
		$this->fail( $table, 1 );
	}

	private function fail( $table, $cells ) {
		$this->failed[ $table ] = isset( $this->failed[ $table ] ) ? $this->failed[ $table ] + $cells : $cells;
	}

	private function total() {
		return array_sum( array_map( 'array_sum', $this->counts ) );
	}

	private function report( $passes, $left ) {
		return array(
			'counts'  => (object) $this->counts,
			'skipped' => (object) $this->skipped,
			'failed'  => (object) $this->failed,
			'passes'  => $passes,
			'left'    => $left,
		);
	}

	/**
	 * Has the site see what was changed, and forgets the notes.
	 */
	public static function finish() {
		global $wpdb;
		$options = $wpdb->get_col( $wpdb->prepare( 'SHOW TABLES LIKE %s', $wpdb->esc_like( $wpdb->base_prefix ) . '%options' ) );
		foreach ( $options as $table ) {
			if ( preg_match( '/^' . preg_quote( $wpdb->base_prefix, '/' ) . '(\d+_)?options$/', $table ) ) {
				// Emptied, not made anew: the plugins that have rules of their own are not loaded.
				$wpdb->query( "UPDATE `$table` SET option_value = '' WHERE option_name = 'rewrite_rules'" );
			}
		}
		$wpdb->query( $wpdb->prepare( "DELETE FROM $wpdb->options WHERE option_name LIKE %s", $wpdb->esc_like( self::NOTE ) . '%' ) );
		return array( 'flushed' => (bool) wp_cache_flush() );
	}
}

WP_CLI::add_command(
	'wptk search-replace',
	static function () {
		$in     = json_decode( stream_get_contents( STDIN ), true );
		$answer = empty( $in['finish'] ) ? ( new Wptk_Search_Replace( $in ) )->run() : Wptk_Search_Replace::finish();
		echo json_encode( $answer, JSON_INVALID_UTF8_SUBSTITUTE );
	},
	array( 'shortdesc' => 'Replaces a text everywhere in the tables of the install.' )
);
