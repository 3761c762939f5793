<?php
// Answers a question of the end-to-end test inside a site, as the site's own user:
// php probe.php DOCROOT URL < {"code": "return …;", "args": […]}
// The answer is the last line, behind a mark; what the site itself prints is in front.
$question = json_decode( stream_get_contents( STDIN ), true );
$url      = parse_url( $argv[2] );
$_SERVER['HTTP_HOST']   = $url['host'] . ( isset( $url['port'] ) ? ':' . $url['port'] : '' );
$_SERVER['REQUEST_URI'] = '/';
// No request of the site to itself: it would change what is being looked at.
define( 'DISABLE_WP_CRON', true );
require $argv[1] . '/wp-load.php';
foreach ( array( 'plugin', 'theme', 'user', 'file', 'misc' ) as $part ) {
	require_once ABSPATH . "wp-admin/includes/$part.php";
}
$answer = ( static function ( $args ) use ( $question ) {
	return eval( $question['code'] );
} )( $question['args'] );
echo "\n\x1e", json_encode( $answer, JSON_PARTIAL_OUTPUT_ON_ERROR );
