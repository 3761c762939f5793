// Package php holds the example for billing systems, so that `wptk e2e` can try it.
package php

import _ "embed" // of the module

// Module is wptk.php.
//
//go:embed wptk.php
var Module []byte

// Driver calls one function of the module in the folder it is given: standard input has
// {"call": "CreateAccount", "params": {…}} (the key is no argument, others could read it), and
// standard output gets what the function answers, in JSON.
const Driver = `ini_set('display_errors', 'stderr'); error_reporting(E_ALL);
require $argv[1] . '/wptk.php';
$in = json_decode(stream_get_contents(STDIN), true, 512, JSON_THROW_ON_ERROR);
echo json_encode(('wptk_' . $in['call'])($in['params']), JSON_THROW_ON_ERROR);`
