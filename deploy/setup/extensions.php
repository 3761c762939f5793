<?php
// Makes installable archives of the plugins and themes that a WordPress tree bundles, and
// prints their paths. Only reads headers, runs none of the tree's code.
//
//   php extensions.php WORDPRESS-TREE PACKAGE-SOURCE
[, $tree, $packages] = $argv;

// header answers a "Name: value" line of a file's head comment, like get_file_data() does.
function header_of(string $file, string $name): string {
    $head = (string) file_get_contents($file, false, null, 0, 8192);
    return preg_match('/^[ \t\/*#@]*' . preg_quote($name, '/') . ':(.*)$/mi', $head, $m) ? trim($m[1], " \t\r*/") : '';
}

// members lists what goes into the archive: name inside => file, in a fixed order.
function members(string $path, string $slug): array {
    if (is_file($path)) return ["$slug/" . basename($path) => $path];
    $found = [];
    $files = new RecursiveIteratorIterator(new RecursiveDirectoryIterator($path, FilesystemIterator::SKIP_DOTS));
    foreach ($files as $file) $found[$slug . substr($file->getPathname(), strlen($path))] = $file->getPathname();
    ksort($found, SORT_STRING);
    return $found;
}

function archive(string $packages, string $kind, string $slug, string $version, string $path): void {
    // Both become part of a path.
    if (!preg_match('/^[a-z0-9-]+$/', $slug) || !preg_match('/^[0-9][0-9A-Za-z.+-]*$/', $version)) return;
    $target = "$packages/$kind/$slug/$version.zip";
    if (!is_file($target)) {
        if (!is_dir(dirname($target))) mkdir(dirname($target), 0755, true);
        $zip = new ZipArchive();
        if ($zip->open("$target.new", ZipArchive::CREATE | ZipArchive::OVERWRITE) !== true) exit(1);
        foreach (members($path, $slug) as $name => $file) {
            // A fixed time makes the archive the same on every machine.
            if (!$zip->addFile($file, $name) || !$zip->setMtimeName($name, 946684800)) exit(1);
        }
        if (!$zip->close() || !chmod("$target.new", 0644) || !rename("$target.new", $target)) exit(1);
    }
    echo "$kind/$slug/$version.zip\n";
}

foreach (glob("$tree/wp-content/plugins/*") as $path) {
    $main = is_dir($path) ? glob("$path/*.php") : [$path];
    foreach ($main as $file) {
        if (header_of($file, 'Plugin Name') === '') continue;
        // The one bundled plugin that is a lone file is published under another name.
        $slug = basename($path) === 'hello.php' ? 'hello-dolly' : basename($path, '.php');
        archive($packages, 'plugins', $slug, header_of($file, 'Version'), $path);
        break;
    }
}
foreach (glob("$tree/wp-content/themes/*/style.css") as $style) {
    archive($packages, 'themes', basename(dirname($style)), header_of($style, 'Version'), dirname($style));
}
