<?php
/**
 * Replaces texts inside values of a WordPress database.
 *
 * Serialized values are taken apart by PHP's grammar and put together with new lengths. No
 * object is made of them, so those of plugins that are not loaded come out right, and a value
 * is never unserialized into code. Where the same text stands with JSON's escaped slashes, it
 * is replaced too. What already is the replacement stays: to do it twice is to do it once.
 *
 * PHP 7.4 syntax.
 */

/**
 * Rewrites values.
 */
final class Wptk_Rewriter {
	/**
	 * Strings to look for in the database; null when only PHP can find the matches.
	 *
	 * @var string[]|null
	 */
	public $needles;

	private $pairs = array();
	private $pattern;
	private $to;

	public function __construct( $search, $replace, $regex ) {
		if ( $regex ) {
			$this->pattern = chr( 1 ) . $search . chr( 1 );
			$this->to      = $replace;
			return;
		}
		$forms = array( $search => $replace );
		if ( false !== strpos( $search, '/' ) ) {
			$forms[ str_replace( '/', '\/', $search ) ] = str_replace( '/', '\/', $replace );
		}
		foreach ( $forms as $from => $to ) {
			$from                 = (string) $from; // PHP makes numbers of keys that look like some.
			$this->needles[]      = $from;
			$this->pairs[ $from ] = $to;
			if ( false !== strpos( $to, $from ) ) {
				$this->pairs[ $to ] = $to; // strtr prefers the longest key.
			}
		}
	}

	/**
	 * What is wrong with the expression, or ''.
	 */
	public function problem() {
		if ( null === $this->pattern ) {
			return '';
		}
		if ( false !== strpos( substr( $this->pattern, 1, -1 ), chr( 1 ) ) ) {
			return 'must not have the character U+0001';
		}
		// phpcs:ignore WordPress.PHP.NoSilencedErrors.Discouraged -- the message is what is asked for.
		$matches = @preg_match( $this->pattern, '' );
		if ( false === $matches ) {
			$error = error_get_last();
			return 'is no regular expression: ' . preg_replace( '/^.*?Compilation failed: /', '', isset( $error['message'] ) ? $error['message'] : '' );
		}
		return $matches ? 'matches the empty text, so it would match everywhere' : '';
	}

	/**
	 * A cell with everything replaced. Throws when the expression gives up on it.
	 */
	public function value( $data, $depth = 0 ) {
		$start = strlen( $data ) - strlen( ltrim( $data ) );
		if ( $depth < 20 && preg_match( '/\G(?:[asOCE]:\d+:|[bid]:|N;)/', $data, $m, 0, $start ) ) {
			$at  = $start;
			$out = $this->piece( $data, $at, $depth );
			if ( null !== $out && '' === trim( substr( $data, $at ) ) ) {
				return substr( $data, 0, $start ) . $out . substr( $data, $at );
			}
		}
		return $this->text( $data );
	}

	private function text( $data ) {
		if ( null === $this->pattern ) {
			return strtr( $data, $this->pairs );
		}
		$out = preg_replace( $this->pattern, $this->to, $data );
		if ( null === $out ) { // Not the empty text, which would be stored.
			throw new UnexpectedValueException( 'the expression gives up, PCRE error ' . (int) preg_last_error() );
		}
		return $out;
	}

	/**
	 * One serialized value, from $at on, which is moved behind it. Null: this is none.
	 */
	private function piece( $s, &$at, $depth ) {
		if ( preg_match( '/\G(?:N;|b:[01];|[irR]:[+-]?\d+;|d:(?:[+-]?[\d.]+(?:[eE][+-]?\d+)?|-?INF|NAN);)/', $s, $m, 0, $at ) ) {
			$at += strlen( $m[0] );
			return $m[0];
		}
		if ( ! preg_match( '/\G([asOCE]):(\d{1,10}):/', $s, $m, 0, $at ) ) {
			return null;
		}
		$at   += strlen( $m[0] );
		$count = (int) $m[2];
		if ( 'a' === $m[1] ) {
			$items = $this->items( $s, $at, $count, $depth );
			return null === $items ? null : $m[0] . $items;
		}
		$quoted = $this->quoted( $s, $at, $count );
		if ( null === $quoted ) {
			return null;
		}
		if ( 's' === $m[1] ) {
			$quoted = $this->value( $quoted, $depth + 1 );
			$m[0]   = 's:' . strlen( $quoted ) . ':';
		}
		$head = $m[0] . '"' . $quoted . '"';
		if ( 's' === $m[1] || 'E' === $m[1] ) {
			return $this->expect( $s, $at, ';' ) ? $head . ';' : null;
		}
		if ( ! preg_match( '/\G:(\d{1,10}):/', $s, $size, 0, $at ) ) {
			return null;
		}
		$at += strlen( $size[0] );
		if ( 'O' === $m[1] ) {
			$items = $this->items( $s, $at, (int) $size[1], $depth );
			return null === $items ? null : $head . $size[0] . $items;
		}
		// C: a class with a form of its own, which nobody else can change.
		$raw = substr( $s, $at, (int) $size[1] + 2 );
		$at += strlen( $raw );
		return strlen( $raw ) === (int) $size[1] + 2 && '{' === $raw[0] && '}' === substr( $raw, -1 ) ? $head . $size[0] . $raw : null;
	}

	/**
	 * The members of an array or object. Keys stay as they are.
	 */
	private function items( $s, &$at, $count, $depth ) {
		if ( ! $this->expect( $s, $at, '{' ) ) {
			return null;
		}
		$out = '{';
		for ( $i = 0; $i < $count; $i++ ) {
			$from = $at;
			if ( preg_match( '/\Gi:-?\d+;/', $s, $m, 0, $at ) ) {
				$at += strlen( $m[0] );
			} elseif ( preg_match( '/\Gs:(\d{1,10}):/', $s, $m, 0, $at ) ) {
				$at += strlen( $m[0] );
				if ( null === $this->quoted( $s, $at, (int) $m[1] ) || ! $this->expect( $s, $at, ';' ) ) {
					return null;
				}
			} else {
				return null;
			}
			$out  .= substr( $s, $from, $at - $from );
			$value = $this->piece( $s, $at, $depth );
			if ( null === $value ) {
				return null;
			}
			$out .= $value;
		}
		return $this->expect( $s, $at, '}' ) ? $out . '}' : null;
	}

	private function quoted( $s, &$at, $length ) {
		$text = substr( $s, $at, $length + 2 );
		if ( strlen( $text ) !== $length + 2 || '"' !== $text[0] || '"' !== substr( $text, -1 ) ) {
			return null;
		}
		$at += $length + 2;
		return (string) substr( $text, 1, -1 );
	}

	private function expect( $s, &$at, $char ) {
		if ( substr( $s, $at, 1 ) !== $char ) {
			return false;
		}
		++$at;
		return true;
	}
}
