<?php
/**
 * Counts the values of a database that look serialized, or like JSON, and cannot be read. It
 * is run by itself, without WordPress, as the site's user. How to connect comes by standard
 * input as JSON; classes of the site are never made.
 *
 * PHP 7.4 syntax.
 */

mysqli_report( MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT );
error_reporting( 0 );

$in = json_decode( stream_get_contents( STDIN ), true );
$db = mysqli_init();
$db->real_connect( $in['host'], $in['user'], $in['password'], $in['name'], $in['port'], $in['socket'] );
$db->set_charset( 'utf8mb4' );

// Is a text serialized as WordPress sees it (is_serialized())?
$serialized = static function ( $text ) {
	return strlen( $text ) >= 4 && ':' === $text[1] && false !== strpos( 'aObisdC', $text[0] )
		&& preg_match( '/^(?:[aOC]:\d+:.*[}]|s:\d+:".*";|[bid]:[0-9.E+-]+;)$/sD', $text );
};

$found = array(
	'checked' => 0,
	'broken'  => 0,
	'where'   => array(),
);

// Values inside of values count as well: page builders nest them.
$check = static function ( $value, $depth ) use ( &$check, $serialized ) {
	if ( is_array( $value ) || is_object( $value ) ) {
		foreach ( (array) $value as $part ) {
			if ( ! $check( $part, $depth ) ) {
				return false;
			}
		}
		return true;
	}
	if ( ! is_string( $value ) || $depth > 20 || ! $serialized( trim( $value ) ) ) {
		return true;
	}
	$text = trim( $value );
	$read = unserialize( $text, array( 'allowed_classes' => false ) );
	return ( false !== $read || 'b:0;' === $text ) && $check( $read, $depth + 1 );
};

$json = static function ( $text ) {
	$text = trim( $text );
	return preg_match( '/^(?:\[\s*[{\["].*\]|\{\s*".*\})$/sD', $text ) && null === json_decode( $text );
};

$columns = $db->query(
	"SELECT c.TABLE_NAME, c.COLUMN_NAME FROM information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME)
	WHERE c.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE = 'BASE TABLE' AND c.DATA_TYPE IN ('text', 'mediumtext', 'longtext', 'varchar') ORDER BY 1, 2"
)->fetch_all();
foreach ( $columns as $name ) {
	$table  = '`' . str_replace( '`', '``', $name[0] ) . '`';
	$column = '`' . str_replace( '`', '``', $name[1] ) . '`';
	if ( '' !== $in['prefix'] && 0 !== strpos( $name[0], $in['prefix'] ) ) {
		continue;
	}
	// The first characters are told apart here, so that only what matters crosses the wire.
	$rows = $db->query( "SELECT $column FROM $table WHERE LEFT($column, 2) IN ('a:','O:','C:','s:','b:','i:','d:','[{','[[','[\"','{\"') OR $column LIKE ' %'", MYSQLI_USE_RESULT );
	while ( $row = $rows->fetch_row() ) {
		++$found['checked'];
		if ( $check( $row[0], 0 ) && ! $json( $row[0] ) ) {
			continue;
		}
		++$found['broken'];
		if ( count( $found['where'] ) < 10 ) {
			$found['where'][] = "$name[0].$name[1]";
		}
	}
	$rows->free();
}
echo json_encode( $found, JSON_INVALID_UTF8_SUBSTITUTE );
