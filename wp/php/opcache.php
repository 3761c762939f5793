<?php
/**
 * Run by the PHP that serves a site, and not by WordPress: the node puts it into a private
 * directory, asks for it through PHP's socket, and removes it. It tells how the opcode cache
 * does. With a directory in WPTK_FORGET it first has the cache forget the files below that, and
 * only those: pools of one PHP-FPM share a cache, whomever they belong to.
 *
 * PHP 7.4 syntax.
 */

header( 'Content-Type: application/json' );
$status = function_exists( 'opcache_get_status' ) ? @opcache_get_status( true ) : false;
$answer = array(
	'enabled' => is_array( $status ) && ! empty( $status['opcache_enabled'] ),
	'reason'  => '',
);
if ( $answer['enabled'] ) {
	$memory = $status['memory_usage'];
	$counts = $status['opcache_statistics'];
	$answer = array(
		'used'    => (int) $memory['used_memory'],
		'memory'  => (int) $memory['used_memory'] + (int) $memory['free_memory'] + (int) $memory['wasted_memory'],
		'scripts' => (int) $counts['num_cached_scripts'],
		'hits'    => (int) $counts['hits'],
		'misses'  => (int) $counts['misses'],
	) + $answer;
	if ( ! empty( $_SERVER['WPTK_FORGET'] ) ) {
		$below               = rtrim( (string) realpath( $_SERVER['WPTK_FORGET'] ), '/' ) . '/';
		$answer['forgotten'] = 0;
		$answer['kept']      = 0;
		foreach ( array_keys( isset( $status['scripts'] ) ? $status['scripts'] : array() ) as $file ) {
			if ( '/' !== $below && 0 === strpos( $file, $below ) ) {
				++$answer[ @opcache_invalidate( $file, true ) ? 'forgotten' : 'kept' ];
			}
		}
	}
} elseif ( ! function_exists( 'opcache_get_status' ) ) {
	$answer['reason'] = 'PHP has no opcode cache';
} elseif ( '' !== (string) ini_get( 'opcache.restrict_api' ) ) {
	$answer['reason'] = 'opcache.restrict_api keeps scripts from asking';
} else {
	$answer['reason'] = 'opcache.enable is off';
}
echo json_encode( $answer );
