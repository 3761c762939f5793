<?php
// Holds Wptk_Rewriter (php/rewriter.php, the first argument) to PHP's own serialize().
// Prints what is wrong, or ok.

require $argv[1];

class Shape {
	public $open      = 'a';
	protected $family = 'b';
	private $own      = 'c';
	public $link;

	public function __construct( $a, $b, $c ) {
		list( $this->open, $this->family, $this->own ) = array( $a, $b, $c );
	}

	public function with( callable $f ) {
		return new self( $f( $this->open ), $f( $this->family ), $f( $this->own ) );
	}
}

mt_srand( (int) $argv[2] );

function text() {
	$parts = array( 'http://old.test', 'old.test', '";s:3:"', 'ä€😀', "\0\n", '}', ';', '{', '', 'i:5;', 'x', 'http:\/\/old.test\/a', 'N;', 'old.tes' );
	$out   = '';
	for ( $i = mt_rand( 0, 4 ); $i > 0; $i-- ) {
		$out .= $parts[ mt_rand( 0, count( $parts ) - 1 ) ];
	}
	return $out;
}

// A value, and a function that makes the same value with texts changed by another one.
function make( $depth ) {
	switch ( mt_rand( 0, $depth > 3 ? 4 : 8 ) ) {
		case 0:
			$v = array( null, true, false, 7, -3, 1.5, -1.0E+25, INF )[ mt_rand( 0, 7 ) ];
			return static function () use ( $v ) {
				return $v;
			};
		case 1:
		case 2:
		case 3:
		case 4:
			$v = text();
			return static function ( $f ) use ( $v ) {
				return $f( $v );
			};
		case 5:
			$inner = make( $depth + 1 );
			return static function ( $f ) use ( $inner ) {
				$v = $inner( $f );
				return is_string( $v ) ? $v : serialize( $v ); // serialized inside serialized
			};
		case 6:
			list( $a, $b, $c ) = array( make( $depth + 1 ), make( $depth + 1 ), make( $depth + 1 ) );
			return static function ( $f ) use ( $a, $b, $c ) {
				return new Shape( $a( $f ), $b( $f ), $c( $f ) );
			};
		default:
			$items = array();
			for ( $i = mt_rand( 0, 4 ); $i > 0; $i-- ) {
				$items[ mt_rand( 0, 1 ) ? text() : mt_rand( -5, 50 ) ] = make( $depth + 1 );
			}
			return static function ( $f ) use ( $items ) {
				$out = array();
				foreach ( $items as $key => $item ) {
					$out[ $key ] = $item( $f );
				}
				return $out;
			};
	}
}

$wrong = 0;
function check( $what, $got, $want ) {
	global $wrong;
	if ( $got !== $want && ++$wrong < 5 ) {
		echo $what, ': ', json_encode( $got, JSON_INVALID_UTF8_SUBSTITUTE ), ' want ', json_encode( $want, JSON_INVALID_UTF8_SUBSTITUTE ), "\n";
	}
}

$same = static function ( $s ) {
	return $s;
};
foreach ( array(
	array( 'http://old.test', 'https://a.much.longer.example' ),
	array( 'old.test', 'old.test/blog' ), // has the search in it
	array( 'old.test', '' ),
	array( ';', '";s:1:"' ),
	array( 'test', '0' ),
	array( 'x', "\\'" ),
) as list( $search, $replace ) ) {
	$rewriter = new Wptk_Rewriter( $search, $replace, false );
	$pairs    = array( $search => $replace );
	if ( false !== strpos( $search, '/' ) ) {
		$pairs[ str_replace( '/', '\/', $search ) ] = str_replace( '/', '\/', $replace );
	}
	foreach ( $pairs as $from => $to ) {
		if ( false !== strpos( $to, $from ) ) {
			$pairs[ $to ] = $to;
		}
	}
	$change = static function ( $s ) use ( $pairs ) {
		// A text that is serialized by chance is taken for that, as WordPress does.
		return in_array( trim( $s ), array( 'i:5;', 'N;' ), true ) ? $s : strtr( $s, $pairs );
	};
	for ( $i = 0; $i < 700; $i++ ) {
		$value = make( 0 );
		$plain = $value( $same );
		$cell  = is_string( $plain ) ? $plain : serialize( $plain );
		$want  = $value( $change );
		$want  = is_string( $want ) ? $want : serialize( $want );
		$got   = $rewriter->value( $cell );
		check( "$search in $cell", $got, $want );
		// Cut short it is no serialized value any more, and text like any other.
		$cut = substr( $cell, 0, -1 );
		if ( ! is_string( $plain ) && false === @unserialize( $cut ) ) {
			check( "cut $cut", $rewriter->value( $cut ), strtr( $cut, $pairs ) );
		}
		if ( false !== strpos( $replace, $search ) ) {
			check( "twice $cell", $rewriter->value( $got ), $got );
		}
	}
}

$rewriter = new Wptk_Rewriter( 'old', 'newer', false );
foreach ( array(
	'a:2:{i:0;s:3:"old";i:1;R:2;}'                     => 'a:2:{i:0;s:5:"newer";i:1;R:2;}',
	" a:1:{s:3:\"old\";s:3:\"old\";}\n"                => " a:1:{s:3:\"old\";s:5:\"newer\";}\n",
	'O:7:"Missing":1:{s:1:"a";s:3:"old";}'             => 'O:7:"Missing":1:{s:1:"a";s:5:"newer";}',
	'C:7:"Missing":3:{old}'                            => 'C:7:"Missing":3:{old}', // only its class could
	'E:9:"Suit:Hold";'                                 => 'E:9:"Suit:Hold";',
	'a:1:{i:0;s:3:"old";} old'                         => 'a:1:{i:0;s:3:"newer";} newer', // PHP does not read it either
	's:3:"old";'                                       => 's:5:"newer";',
	'{"a":"old"}'                                      => '{"a":"newer"}',
) as $cell => $want ) {
	check( $cell, $rewriter->value( $cell ), $want );
}

$regex = new Wptk_Rewriter( '(o)(l)d', '$2$1-\1', true );
check( 'regex', $regex->value( serialize( array( 'old' ) ) ), serialize( array( 'lo-o' ) ) );
foreach ( array( '(' => true, 'a*' => true, '' => true, "a\1b" => true, 'a+' => false, '(?i)A' => false ) as $pattern => $bad ) {
	check( "problem of $pattern", '' !== ( new Wptk_Rewriter( $pattern, '', true ) )->problem(), $bad );
}
ini_set( 'pcre.backtrack_limit', '100' );
ini_set( 'pcre.jit', '0' );
try {
	( new Wptk_Rewriter( '(a+)+$', '', true ) )->value( str_repeat( 'a', 40 ) . 'b' );
	check( 'an expression that gives up', 'an answer', 'an exception' );
} catch ( UnexpectedValueException $e ) {
	unset( $e );
}
echo $wrong ? "$wrong wrong\n" : 'ok';
