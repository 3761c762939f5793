<?php
/**
 * Loaded in front of commands on a docroot that is not in its place yet: it shares nothing
 * with the site that visitors see. What it would put into an object cache that outlives the
 * visit, under the same keys, that site would read.
 *
 * Runs on PHP 5.6 and later, before WordPress is loaded, as the tenant.
 */

if ( ! class_exists( 'WP_CLI' ) ) {
	exit( 1 );
}

// WordPress asks this since 5.8; before, the drop-in is loaded all the same.
WP_CLI::add_wp_hook(
	'enable_loading_object_cache_dropin',
	static function () {
		return false;
	}
);

require_once __DIR__ . '/extensions.php';
