<?php
/**
 * The wp-config.php of the node's own copy of WordPress; engine.php has defined the rest.
 */

$table_prefix = WPTK_TABLE_PREFIX;

require_once ABSPATH . 'wp-settings.php';
