<?php
/**
 * Plugin Name: WisPanel Object Cache
 * Description: Keeps what WordPress has computed in Redis. Without Redis the site works as if it had no cache.
 * Version: 1.0.0
 *
 * Put here by the WisPanel WordPress Toolkit, which also takes it away again. The settings
 * below are this site's own: its Redis user can reach no other keys than those of its prefix.
 * To do without, define WPTK_OBJECT_CACHE_OFF as true in wp-config.php.
 *
 * PHP 7.4 syntax, no extension needed.
 *
 * @package wptk
 */

defined( 'ABSPATH' ) || exit;

// phpcs:disable Universal.Files.SeparateFunctionsFromOO, Generic.Files.OneObjectStructurePerFile -- a drop-in is one file.

/**
 * A connection to Redis that speaks as much of its protocol (RESP2) as is needed here. It
 * never throws and never warns: after the first failure every answer is null.
 */
class WPTK_Redis {

	/**
	 * What went wrong, or ''.
	 *
	 * @var string
	 */
	public $error = '';

	/**
	 * How the server is reached and who we are there.
	 *
	 * @var array
	 */
	private $settings;

	/**
	 * The connection, once there is one.
	 *
	 * @var resource|null
	 */
	private $stream;

	/**
	 * Keeps the settings; the connection is made when it is needed.
	 *
	 * @param array $settings address, user, password, database.
	 */
	public function __construct( array $settings ) {
		$this->settings = $settings;
	}

	/**
	 * Sends commands, and gives the answer of each: a string, an integer, an array, or null.
	 *
	 * @param array ...$commands Each an array of strings.
	 * @return array
	 */
	public function call( array ...$commands ) {
		$none = array_fill( 0, count( $commands ), null );
		if ( '' !== $this->error || ! $this->connect() || ! $this->send( $commands ) ) {
			return $none;
		}
		$answers = array();
		foreach ( $commands as $command ) {
			$answers[] = $this->read();
			if ( '' !== $this->error ) {
				return $none;
			}
		}
		return $answers;
	}

	/**
	 * Connects and logs in.
	 *
	 * @return bool
	 */
	private function connect() {
		if ( $this->stream ) {
			return true;
		}
		$number = 0;
		$why    = '';
		// phpcs:ignore WordPress.PHP.NoSilencedErrors.Discouraged -- a cache that is away is no reason for a warning on the page.
		$stream = @stream_socket_client( $this->settings['address'], $number, $why, 0.5 );
		if ( ! $stream ) {
			return $this->fail( 'no connection' );
		}
		stream_set_timeout( $stream, 1 );
		$this->stream = $stream;
		$login        = array( array( 'AUTH', $this->settings['user'], $this->settings['password'] ) );
		if ( $this->settings['database'] ) {
			$login[] = array( 'SELECT', (string) $this->settings['database'] );
		}
		if ( ! $this->send( $login ) ) {
			return false;
		}
		foreach ( $login as $command ) {
			if ( 'OK' !== $this->read() ) {
				return $this->fail( 'login refused' );
			}
		}
		return true;
	}

	/**
	 * Writes commands.
	 *
	 * @param array $commands The commands.
	 * @return bool
	 */
	private function send( array $commands ) {
		$out = '';
		foreach ( $commands as $command ) {
			$out .= '*' . count( $command ) . "\r\n";
			foreach ( $command as $part ) {
				$out .= '$' . strlen( $part ) . "\r\n" . $part . "\r\n";
			}
		}
		while ( '' !== $out ) {
			// phpcs:ignore WordPress.PHP.NoSilencedErrors.Discouraged, WordPress.WP.AlternativeFunctions -- a socket.
			$sent = @fwrite( $this->stream, $out );
			if ( ! $sent ) {
				return $this->fail( 'connection lost' );
			}
			$out = (string) substr( $out, $sent );
		}
		return true;
	}

	/**
	 * Reads one answer. An error of the server's is null, and no failure of the connection.
	 *
	 * @return mixed
	 */
	private function read() {
		// phpcs:ignore WordPress.PHP.NoSilencedErrors.Discouraged -- a socket.
		$line = @fgets( $this->stream );
		if ( ! is_string( $line ) || "\r\n" !== substr( $line, -2 ) ) {
			$this->fail( 'no answer' );
			return null;
		}
		$value = substr( $line, 1, -2 );
		switch ( $line[0] ) {
			case '+':
				return $value;
			case ':':
				return (int) $value;
			case '-':
				return null;
			case '$':
				return $this->bulk( (int) $value );
			case '*':
				$list = array();
				for ( $i = (int) $value; $i > 0 && '' === $this->error; $i-- ) {
					$list[] = $this->read();
				}
				return $list;
		}
		$this->fail( 'answer not understood' );
		return null;
	}

	/**
	 * Reads a string of known length.
	 *
	 * @param int $length Its length; negative for none.
	 * @return string|null
	 */
	private function bulk( $length ) {
		if ( $length < 0 ) {
			return null;
		}
		$data = '';
		$want = $length + 2;
		while ( strlen( $data ) < $want ) {
			// phpcs:ignore WordPress.PHP.NoSilencedErrors.Discouraged, WordPress.WP.AlternativeFunctions -- a socket.
			$part = @fread( $this->stream, min( 65536, $want - strlen( $data ) ) );
			if ( ! is_string( $part ) || '' === $part ) {
				$this->fail( 'no answer' );
				return null;
			}
			$data .= $part;
		}
		return (string) substr( $data, 0, $length );
	}

	/**
	 * Gives Redis up for the rest of the request.
	 *
	 * @param string $why What went wrong.
	 * @return false
	 */
	private function fail( $why ) {
		$this->error = $why;
		if ( $this->stream ) {
			fclose( $this->stream ); // phpcs:ignore WordPress.WP.AlternativeFunctions -- a socket.
		}
		$this->stream = null;
		return false;
	}
}

/**
 * The object cache: an array for the request, and Redis behind it.
 */
class WPTK_Object_Cache {

	/**
	 * How long entries live that name no time, so that what a flush has left behind goes away.
	 */
	const LONGEST = 604800;

	/**
	 * Found in the array or in Redis.
	 *
	 * @var int
	 */
	public $cache_hits = 0;

	/**
	 * Found nowhere.
	 *
	 * @var int
	 */
	public $cache_misses = 0;

	/**
	 * Entries of this request, by their key in Redis.
	 *
	 * @var array
	 */
	private $entries = array();

	/**
	 * Groups that all sites of a network share.
	 *
	 * @var array
	 */
	private $global_groups = array();

	/**
	 * Groups that stay in the request.
	 *
	 * @var array
	 */
	private $local_groups = array();

	/**
	 * The site of the network, as part of keys.
	 *
	 * @var string
	 */
	private $blog = '';

	/**
	 * What all keys begin with.
	 *
	 * @var string
	 */
	private $prefix;

	/**
	 * Part of all keys; another one flushes everything.
	 *
	 * @var string|null
	 */
	private $generation;

	/**
	 * Redis, or null to do without.
	 *
	 * @var WPTK_Redis|null
	 */
	private $redis;

	/**
	 * Reads the settings of this site.
	 */
	public function __construct() {
		$settings     = array( /* settings */ );
		$this->prefix = isset( $settings['prefix'] ) ? $settings['prefix'] . ':' : '';
		if ( $settings && ! ( defined( 'WPTK_OBJECT_CACHE_OFF' ) && WPTK_OBJECT_CACHE_OFF ) ) {
			$this->redis = new WPTK_Redis( $settings );
		}
		$this->blog = is_callable( 'is_multisite' ) && is_multisite() ? get_current_blog_id() . ':' : '';
	}

	/**
	 * What keeps Redis from being used, or ''.
	 *
	 * @return string
	 */
	public function error() {
		return $this->redis ? $this->redis->error : 'switched off';
	}

	/**
	 * The key of an entry.
	 *
	 * @param int|string $key   Its name.
	 * @param string     $group Its group.
	 * @return string
	 */
	private function id( $key, $group ) {
		$id = ( isset( $this->global_groups[ $group ] ) ? '' : $this->blog ) . $group . ':' . $key;
		return strlen( $id ) > 200 ? substr( $id, 0, 100 ) . md5( $id ) : $id;
	}

	/**
	 * What the group is called when none is named.
	 *
	 * @param string $group The group.
	 * @return string
	 */
	private function group( $group ) {
		return empty( $group ) ? 'default' : (string) $group;
	}

	/**
	 * Keys are integers or strings that are not empty.
	 *
	 * @param mixed $key The key.
	 * @return bool
	 */
	private function is_key( $key ) {
		return is_int( $key ) || ( is_string( $key ) && '' !== trim( $key ) );
	}

	/**
	 * The key in Redis, or null when the group is not kept there.
	 *
	 * @param string $id    Of id().
	 * @param string $group The group.
	 * @return string|null
	 */
	private function remote( $id, $group ) {
		if ( ! $this->redis || '' !== $this->redis->error || isset( $this->local_groups[ $group ] ) ) {
			return null;
		}
		if ( null === $this->generation ) {
			$this->generation = $this->begin();
		}
		return '' === $this->redis->error ? $this->prefix . $this->generation . ':' . $id : null;
	}

	/**
	 * The generation that is in force, or a new one. A generation is a time, so that one whose
	 * note was lost does not come back.
	 *
	 * @return string
	 */
	private function begin() {
		list( , $found ) = $this->redis->call(
			array( 'SET', $this->prefix . 'generation', $this->now(), 'NX' ),
			array( 'GET', $this->prefix . 'generation' )
		);
		if ( ! is_string( $found ) && '' === $this->redis->error ) {
			$this->redis->error = 'no access'; // to these keys, for this user.
		}
		return (string) $found;
	}

	/**
	 * The time in microseconds.
	 *
	 * @return string
	 */
	private function now() {
		return str_replace( '.', '', sprintf( '%.6F', microtime( true ) ) );
	}

	/**
	 * Reads an entry.
	 *
	 * @param int|string $key   Its name.
	 * @param string     $group Its group.
	 * @param bool       $force Ask Redis even if the request knows it.
	 * @param bool       $found Whether it is there; false may be its value.
	 * @return mixed
	 */
	public function get( $key, $group = '', $force = false, &$found = null ) {
		$values = $this->get_multiple( array( $key ), $group, $force, $all );
		$found  = ! empty( $all[ $key ] );
		return $found ? $values[ $key ] : false;
	}

	/**
	 * Reads entries, in one round trip.
	 *
	 * @param array  $keys  Their names.
	 * @param string $group Their group.
	 * @param bool   $force Ask Redis even if the request knows them.
	 * @param array  $found By name, whether it is there.
	 * @return array By name; false for what is not there.
	 */
	public function get_multiple( array $keys, $group = '', $force = false, &$found = null ) {
		$group  = $this->group( $group );
		$values = array();
		$found  = array();
		$ask    = array();
		foreach ( $keys as $key ) {
			$values[ $key ] = false;
			if ( ! $this->is_key( $key ) ) {
				continue;
			}
			$id = $this->id( $key, $group );
			if ( ( $force || ! array_key_exists( $id, $this->entries ) ) ) {
				$remote = $this->remote( $id, $group );
				if ( null !== $remote ) {
					$ask[ $key ] = $remote;
					continue;
				}
			}
			if ( array_key_exists( $id, $this->entries ) ) {
				$found[ $key ]  = true;
				$values[ $key ] = $this->copy( $this->entries[ $id ] );
			}
		}
		if ( $ask ) {
			$answer = $this->redis->call( array_merge( array( 'MGET' ), array_values( $ask ) ) );
			$answer = is_array( $answer[0] ) ? $answer[0] : array();
			foreach ( array_keys( $ask ) as $i => $key ) {
				$id = $this->id( $key, $group );
				if ( isset( $answer[ $i ] ) && $this->decode( $answer[ $i ], $value ) ) {
					$found[ $key ]        = true;
					$values[ $key ]       = $value;
					$this->entries[ $id ] = $this->copy( $value );
				} elseif ( '' !== $this->redis->error && array_key_exists( $id, $this->entries ) ) {
					$found[ $key ]  = true;
					$values[ $key ] = $this->copy( $this->entries[ $id ] );
				} else {
					unset( $this->entries[ $id ] );
				}
			}
		}
		$this->cache_hits   += count( $found );
		$this->cache_misses += count( $values ) - count( $found );
		return $values;
	}

	/**
	 * Writes an entry.
	 *
	 * @param int|string $key    Its name.
	 * @param mixed      $value  What to keep.
	 * @param string     $group  Its group.
	 * @param int        $expire Seconds; 0 is as long as possible.
	 * @return bool
	 */
	public function set( $key, $value, $group = '', $expire = 0 ) {
		if ( ! $this->is_key( $key ) ) {
			return false;
		}
		$group                = $this->group( $group );
		$id                   = $this->id( $key, $group );
		$this->entries[ $id ] = $this->copy( $value );
		$remote               = $this->remote( $id, $group );
		if ( null !== $remote ) {
			$expire = (int) $expire;
			$expire = $expire > 0 && $expire < self::LONGEST ? $expire : self::LONGEST;
			// phpcs:ignore WordPress.PHP.DiscouragedPHPFunctions -- only this site's user can write these keys.
			$this->redis->call( array( 'SET', $remote, serialize( $value ), 'EX', (string) $expire ) );
		}
		return true;
	}

	/**
	 * Writes an entry unless it is there.
	 *
	 * @param int|string $key    Its name.
	 * @param mixed      $value  What to keep.
	 * @param string     $group  Its group.
	 * @param int        $expire Seconds.
	 * @return bool
	 */
	public function add( $key, $value, $group = '', $expire = 0 ) {
		if ( function_exists( 'wp_suspend_cache_addition' ) && wp_suspend_cache_addition() ) {
			return false;
		}
		$this->get( $key, $group, false, $found );
		return ! $found && $this->set( $key, $value, $group, $expire );
	}

	/**
	 * Writes an entry if it is there.
	 *
	 * @param int|string $key    Its name.
	 * @param mixed      $value  What to keep.
	 * @param string     $group  Its group.
	 * @param int        $expire Seconds.
	 * @return bool
	 */
	public function replace( $key, $value, $group = '', $expire = 0 ) {
		$this->get( $key, $group, false, $found );
		return $found && $this->set( $key, $value, $group, $expire );
	}

	/**
	 * Deletes an entry.
	 *
	 * @param int|string $key   Its name.
	 * @param string     $group Its group.
	 * @return bool Whether there was one.
	 */
	public function delete( $key, $group = '' ) {
		if ( ! $this->is_key( $key ) ) {
			return false;
		}
		$group = $this->group( $group );
		$id    = $this->id( $key, $group );
		$known = array_key_exists( $id, $this->entries );
		unset( $this->entries[ $id ] );
		$remote = $this->remote( $id, $group );
		if ( null === $remote ) {
			return $known;
		}
		$answer = $this->redis->call( array( 'DEL', $remote ) );
		return $answer[0] ? true : $known;
	}

	/**
	 * Adds to a number.
	 *
	 * @param int|string $key    Its name.
	 * @param int        $offset How much; may be negative.
	 * @param string     $group  Its group.
	 * @return int|false The new number.
	 */
	public function add_number( $key, $offset, $group = '' ) {
		$value = $this->get( $key, $group, true, $found );
		if ( ! $found ) {
			return false;
		}
		$value = max( 0, ( is_numeric( $value ) ? (int) $value : 0 ) + (int) $offset );
		return $this->set( $key, $value, $group ) ? $value : false;
	}

	/**
	 * Forgets everything of this install.
	 *
	 * @return bool
	 */
	public function flush() {
		$this->entries = array();
		if ( ! $this->redis || '' !== $this->redis->error ) {
			return true;
		}
		$this->generation = $this->now();
		$answer           = $this->redis->call( array( 'SET', $this->prefix . 'generation', $this->generation ) );
		return 'OK' === $answer[0];
	}

	/**
	 * Forgets what the request knows.
	 *
	 * @return bool
	 */
	public function flush_runtime() {
		$this->entries = array();
		return true;
	}

	/**
	 * Names groups that all sites of a network share.
	 *
	 * @param string|array $groups The groups.
	 */
	public function add_global_groups( $groups ) {
		$this->global_groups += array_fill_keys( (array) $groups, true );
	}

	/**
	 * Names groups that stay in the request.
	 *
	 * @param string|array $groups The groups.
	 */
	public function add_local_groups( $groups ) {
		$this->local_groups += array_fill_keys( (array) $groups, true );
	}

	/**
	 * Changes to another site of the network.
	 *
	 * @param int $id The site.
	 */
	public function switch_to_blog( $id ) {
		$this->blog = is_multisite() ? (int) $id . ':' : '';
	}

	/**
	 * For screens that show how the cache does.
	 */
	public function stats() {
		printf( '<p>Hits: %d, misses: %d</p>', (int) $this->cache_hits, (int) $this->cache_misses );
	}

	/**
	 * Who changes an object that came out of the cache does not change what is in it.
	 *
	 * @param mixed $value The value.
	 * @return mixed
	 */
	private function copy( $value ) {
		return is_object( $value ) ? clone $value : $value;
	}

	/**
	 * Reads a value as it is kept. One that cannot be read is not there.
	 *
	 * @param string $data  What Redis has.
	 * @param mixed  $value What it means.
	 * @return bool
	 */
	private function decode( $data, &$value ) {
		if ( 'b:0;' === $data ) {
			$value = false;
			return true;
		}
		try {
			// phpcs:ignore WordPress.PHP.DiscouragedPHPFunctions, WordPress.PHP.NoSilencedErrors.Discouraged -- only this site's user can write these keys.
			$value = @unserialize( $data );
		} catch ( Throwable $e ) {
			$value = false;
		}
		return false !== $value;
	}
}

// What follows is the interface that WordPress expects of a drop-in, as documented in its
// wp-includes/cache.php.
// phpcs:disable Squiz.Commenting.FunctionComment.Missing, WordPress.WP.GlobalVariablesOverride.Prohibited

function wp_cache_init() {
	$GLOBALS['wp_object_cache'] = new WPTK_Object_Cache();
}

function wp_cache_get( $key, $group = '', $force = false, &$found = null ) {
	return $GLOBALS['wp_object_cache']->get( $key, $group, $force, $found );
}

function wp_cache_get_multiple( $keys, $group = '', $force = false ) {
	return $GLOBALS['wp_object_cache']->get_multiple( (array) $keys, $group, $force );
}

function wp_cache_set( $key, $data, $group = '', $expire = 0 ) {
	return $GLOBALS['wp_object_cache']->set( $key, $data, $group, $expire );
}

function wp_cache_set_multiple( array $data, $group = '', $expire = 0 ) {
	$done = array();
	foreach ( $data as $key => $value ) {
		$done[ $key ] = wp_cache_set( $key, $value, $group, $expire );
	}
	return $done;
}

function wp_cache_add( $key, $data, $group = '', $expire = 0 ) {
	return $GLOBALS['wp_object_cache']->add( $key, $data, $group, $expire );
}

function wp_cache_add_multiple( array $data, $group = '', $expire = 0 ) {
	$done = array();
	foreach ( $data as $key => $value ) {
		$done[ $key ] = wp_cache_add( $key, $value, $group, $expire );
	}
	return $done;
}

function wp_cache_replace( $key, $data, $group = '', $expire = 0 ) {
	return $GLOBALS['wp_object_cache']->replace( $key, $data, $group, $expire );
}

function wp_cache_delete( $key, $group = '' ) {
	return $GLOBALS['wp_object_cache']->delete( $key, $group );
}

function wp_cache_delete_multiple( array $keys, $group = '' ) {
	$done = array();
	foreach ( $keys as $key ) {
		$done[ $key ] = wp_cache_delete( $key, $group );
	}
	return $done;
}

function wp_cache_incr( $key, $offset = 1, $group = '' ) {
	return $GLOBALS['wp_object_cache']->add_number( $key, (int) $offset, $group );
}

function wp_cache_decr( $key, $offset = 1, $group = '' ) {
	return $GLOBALS['wp_object_cache']->add_number( $key, 0 - (int) $offset, $group );
}

function wp_cache_flush() {
	return $GLOBALS['wp_object_cache']->flush();
}

function wp_cache_flush_runtime() {
	return $GLOBALS['wp_object_cache']->flush_runtime();
}

function wp_cache_flush_group( $group ) {
	return false; // wp_cache_supports() says that it cannot.
}

function wp_cache_supports( $feature ) {
	return in_array( $feature, array( 'add_multiple', 'set_multiple', 'get_multiple', 'delete_multiple', 'flush_runtime' ), true );
}

function wp_cache_close() {
	return true;
}

function wp_cache_add_global_groups( $groups ) {
	$GLOBALS['wp_object_cache']->add_global_groups( $groups );
}

function wp_cache_add_non_persistent_groups( $groups ) {
	$GLOBALS['wp_object_cache']->add_local_groups( $groups );
}

function wp_cache_switch_to_blog( $blog_id ) {
	$GLOBALS['wp_object_cache']->switch_to_blog( $blog_id );
}
