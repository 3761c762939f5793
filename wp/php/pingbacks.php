<?php
/**
 * Loaded for "wptk pingbacks" only (--require): closes a site for pingbacks and trackbacks, or
 * opens it again exactly as it was. The request is one JSON object on standard input:
 *
 *   {"do":"look"}     what is open: posts as runs of IDs ("3-7,9"), and the two settings
 *   {"do":"close"}    closes it
 *   {"do":"restore","posts":"3-7,9","status":"open","flag":"1"}
 *
 * PHP 7.4 syntax.
 */

call_user_func(
	static function () {
		$look = static function () {
			global $wpdb;
			$runs  = array();
			$first = 0;
			$last  = 0;
			$after = 0;
			do {
				$ids = $wpdb->get_col( $wpdb->prepare( "SELECT ID FROM $wpdb->posts WHERE ping_status = 'open' AND ID > %d ORDER BY ID LIMIT 10000", $after ) );
				foreach ( array_map( 'intval', $ids ) as $id ) {
					if ( $first && $last + 1 === $id ) {
						$last = $id;
						continue;
					}
					if ( $first ) {
						$runs[] = $first === $last ? $first : "$first-$last";
					}
					$first = $id;
					$last  = $id;
				}
				$after = $last;
			} while ( $ids );
			if ( $first ) {
				$runs[] = $first === $last ? $first : "$first-$last";
			}
			return array(
				'posts'  => implode( ',', $runs ),
				'status' => (string) get_option( 'default_ping_status' ),
				'flag'   => (string) get_option( 'default_pingback_flag' ),
			);
		};

		$set = static function ( $status, $flag ) {
			update_option( 'default_ping_status', 'open' === $status ? 'open' : 'closed' );
			update_option( 'default_pingback_flag', in_array( $flag, array( '1', '0' ), true ) ? $flag : '' );
		};

		$restore = static function ( $request ) use ( $set ) {
			global $wpdb;
			foreach ( '' === $request['posts'] ? array() : explode( ',', $request['posts'] ) as $run ) {
				$ends = array_map( 'intval', explode( '-', $run . '-' . $run ) );
				$wpdb->query( $wpdb->prepare( "UPDATE $wpdb->posts SET ping_status = 'open' WHERE ID BETWEEN %d AND %d AND ping_status = 'closed'", $ends[0], $ends[1] ) );
			}
			$set( $request['status'], $request['flag'] );
		};

		WP_CLI::add_command(
			'wptk pingbacks',
			static function () use ( $look, $set, $restore ) {
				global $wpdb;
				$request = json_decode( stream_get_contents( STDIN ), true );
				if ( 'close' === $request['do'] ) {
					$wpdb->query( "UPDATE $wpdb->posts SET ping_status = 'closed' WHERE ping_status = 'open'" );
					$set( 'closed', '' );
				} elseif ( 'restore' === $request['do'] ) {
					$restore( $request );
				}
				if ( 'look' !== $request['do'] ) {
					wp_cache_flush();
				}
				echo json_encode( $look() );
			},
			array( 'shortdesc' => 'Closes the site for pingbacks, or opens it as it was.' )
		);
	}
);
