<?php
// Router for PHP's own web server: files as they are, everything else by the nearest
// index.php above it, so that a second WordPress in a subdirectory works as well.
$root = $_SERVER['DOCUMENT_ROOT'];
$path = rawurldecode((string) parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
if (str_contains($path, "\0") || str_contains("$path/", '/../')) {
	http_response_code(400);
	return true;
}
if (is_dir($root . $path) && !str_ends_with($path, '/')) {
	header("Location: $path/", true, 301);
	return true;
}
if (is_file($root . $path) || is_file($root . $path . 'index.php') || is_file($root . $path . 'index.html')) {
	return false; // the server does it
}
$dir = $path;
do {
	$dir = rtrim(dirname($dir . 'x'), '/') . '/';
	$index = $root . $dir . 'index.php';
	if (is_file($index)) {
		$_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = $dir . 'index.php';
		$_SERVER['SCRIPT_FILENAME'] = $index;
		unset($_SERVER['PATH_INFO']);
		chdir(dirname($index));
		require $index;
		return true;
	}
	$dir = rtrim($dir, '/');
} while ($dir !== '');
http_response_code(404);
return true;
