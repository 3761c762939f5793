<?php
/**
 * A provisioning module for billing systems, in the form that WHMCS wants
 * (modules/servers/wptk/wptk.php); other systems call the same five functions.
 * It needs nothing but PHP 7.4 or newer with curl.
 *
 *   create     wptk_CreateAccount        installs WordPress on the service's domain
 *   suspend    wptk_SuspendAccount       closes the site for visitors; see below
 *   unsuspend  wptk_UnsuspendAccount     opens it again
 *   terminate  wptk_TerminateAccount     deletes it; a final backup is kept for a week
 *   log in     wptk_ServiceSingleSignOn  a link that logs in as the administrator, once
 *
 * The domain's directory has to be there before: the hosting account is made by the
 * panel, not by this module. The server's settings are the API's host name, port, "secure",
 * and an API key (wsp_...) as access hash or password.
 *
 * Suspending is WordPress's maintenance mode: visitors see "briefly unavailable" with
 * status 503, files and database stay as they are. It ends by itself after a week, so that
 * nothing stays closed that everybody has forgotten: call it again every day (in WHMCS
 * from the hook DailyCronJob) for as long as the service is suspended. It does not stop the
 * account's cron jobs, mail or other sites; suspend the hosting account for that.
 */

final class WptkException extends RuntimeException
{
    /** Stable, such as CONFLICT or disk_full. */
    public string $reason;

    public function __construct(string $message, string $reason)
    {
        parent::__construct($message);
        $this->reason = $reason;
    }
}

final class Wptk
{
    private string $base;
    private string $key;
    private int $patience;

    /** @param int $patience seconds that one operation may take */
    public function __construct(string $base, string $key, int $patience = 900)
    {
        $this->base = rtrim($base, '/') . '/api/v1';
        $this->key = $key;
        $this->patience = $patience;
    }

    /** The server's settings as WHMCS gives them. */
    public static function of(array $params): self
    {
        $secure = !empty($params['serversecure']) && $params['serversecure'] !== 'off';
        $host = ($params['serverhostname'] ?? '') ?: ($params['serverip'] ?? '');
        $port = ($params['serverport'] ?? '') ?: 2083;
        $key = trim((string) (($params['serveraccesshash'] ?? '') ?: ($params['serverpassword'] ?? '')));
        return new self(($secure ? 'https' : 'http') . "://$host:$port", $key);
    }

    /** Makes a change and waits for its end. Answers the operation's result. */
    public function change(string $method, string $path, array $body): array
    {
        $deadline = time() + $this->patience;
        $op = $this->call($method, $path, $body);
        if (!isset($op['operation_id'])) {
            return $op; // it was there already
        }
        $id = $op['operation_id'];
        $query = '';
        do {
            if (time() > $deadline) {
                throw new WptkException("operation $id is not done yet; it goes on", 'not_done');
            }
            $op = $this->call('GET', '/wordpress/install/' . rawurlencode($id) . '/progress' . $query);
            $query = '?wait=30&since=' . (int) $op['seq'];
        } while (!$op['done']);
        if ($op['status'] !== 'succeeded') {
            $error = $op['error'] ?? [];
            throw new WptkException(trim("$op[status]: " . ($error['message'] ?? '') . ' ' . ($error['hint'] ?? '')), $error['code'] ?? $op['status']);
        }
        return $op['result'] ?? [];
    }

    /**
     * One call, made again for a while when the API cannot be reached or asks to wait. All
     * tries of a change have one Idempotency-Key: it is made once.
     */
    public function call(string $method, string $path, ?array $body = null): array
    {
        $headers = ["Authorization: Bearer $this->key", 'Accept: application/json'];
        if ($method !== 'GET') {
            $headers[] = 'Idempotency-Key: ' . bin2hex(random_bytes(16));
        }
        if ($body !== null) {
            $headers[] = 'Content-Type: application/json';
        }
        for ($try = 0;; $try++) {
            [$status, $after, $answer] = $this->once($method, $path, $headers, $body);
            $again = in_array($status, [0, 429, 502, 503, 504], true);
            if (!$again || $try >= 5) {
                break;
            }
            sleep(max(1, min(60, $after)));
        }
        if ($status >= 200 && $status < 300 && is_array($answer)) {
            return $answer;
        }
        $message = $answer['message'] ?? ($status ? "the API answers with status $status" : 'the API cannot be reached');
        foreach ($answer['details'] ?? [] as $detail) {
            $message .= "; $detail[field]: $detail[reason]";
        }
        throw new WptkException($message, $answer['code'] ?? 'unreachable');
    }

    /** @return array{int, int, mixed} status (0 when there was no answer), Retry-After, body */
    private function once(string $method, string $path, array $headers, ?array $body): array
    {
        $after = 0;
        $curl = curl_init($this->base . $path);
        curl_setopt_array($curl, [
            CURLOPT_CUSTOMREQUEST => $method,
            CURLOPT_HTTPHEADER => $headers,
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_FOLLOWLOCATION => false, // the key goes nowhere else
            CURLOPT_PROTOCOLS => CURLPROTO_HTTP | CURLPROTO_HTTPS,
            CURLOPT_CONNECTTIMEOUT => 10,
            CURLOPT_TIMEOUT => 75,
            CURLOPT_HEADERFUNCTION => static function ($curl, string $line) use (&$after): int {
                if (stripos($line, 'Retry-After:') === 0) {
                    $after = (int) trim(substr($line, 12));
                }
                return strlen($line);
            },
        ]);
        if ($body !== null) {
            curl_setopt($curl, CURLOPT_POSTFIELDS, json_encode((object) $body, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES));
        }
        $raw = curl_exec($curl);
        $status = $raw === false ? 0 : (int) curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
        return [$status, $after, json_decode((string) $raw, true)];
    }

    /** The id of the WordPress that was installed for a domain. */
    public function site(string $domain): string
    {
        foreach ($this->call('GET', '/wordpress/installations?domain=' . rawurlencode($domain)) as $site) {
            if ($site['domain'] === $domain && basename($site['path']) === 'public_html') {
                return $site['id'];
            }
        }
        throw new WptkException("there is no WordPress on $domain", 'NOT_FOUND');
    }
}

function wptk_MetaData(): array
{
    return ['DisplayName' => 'WisPanel WordPress Toolkit', 'APIVersion' => '1.1', 'RequiresServer' => true, 'DefaultNonSSLPort' => '2083', 'DefaultSSLPort' => '2083'];
}

/** Answers what WHMCS expects: "success", or what went wrong in words. */
function wptk_try(callable $do): string
{
    try {
        $do();
        return 'success';
    } catch (Throwable $e) {
        return $e->getMessage();
    }
}

function wptk_CreateAccount(array $params): string
{
    return wptk_try(static function () use ($params): void {
        $order = [
            'domain' => $params['domain'],
            'path' => 'public_html',
            'title' => $params['domain'],
            'admin_user' => wptk_admin($params),
            'admin_email' => $params['clientsdetails']['email'],
            'on_exists' => 'return', // asking again is no mistake
        ];
        if (!empty($params['password'])) {
            $order['admin_password'] = $params['password'];
        }
        Wptk::of($params)->change('POST', '/wordpress/install', $order);
    });
}

function wptk_SuspendAccount(array $params): string
{
    return wptk_try(static function () use ($params): void {
        $api = Wptk::of($params);
        $api->change('POST', '/wordpress/maintenance', ['id' => $api->site($params['domain']), 'enabled' => true, 'minutes' => 7 * 1440]);
    });
}

function wptk_UnsuspendAccount(array $params): string
{
    return wptk_try(static function () use ($params): void {
        $api = Wptk::of($params);
        $api->change('POST', '/wordpress/maintenance', ['id' => $api->site($params['domain']), 'enabled' => false]);
    });
}

function wptk_TerminateAccount(array $params): string
{
    return wptk_try(static function () use ($params): void {
        $api = Wptk::of($params);
        try {
            $id = $api->site($params['domain']);
        } catch (WptkException $e) {
            if ($e->reason === 'NOT_FOUND') {
                return; // asking again is no mistake
            }
            throw $e;
        }
        $api->change('DELETE', '/wordpress/delete', ['id' => $id]);
    });
}

function wptk_ServiceSingleSignOn(array $params): array
{
    try {
        $api = Wptk::of($params);
        $made = $api->change('POST', '/wordpress/auto-login', ['id' => $api->site($params['domain']), 'user' => wptk_admin($params)]);
        return ['success' => true, 'redirectTo' => $made['login_url']];
    } catch (Throwable $e) {
        return ['success' => false, 'errorMsg' => $e->getMessage()];
    }
}

function wptk_TestConnection(array $params): array
{
    try {
        Wptk::of($params)->call('GET', '/wordpress/status');
        return ['success' => true, 'error' => ''];
    } catch (Throwable $e) {
        return ['success' => false, 'error' => $e->getMessage()];
    }
}

function wptk_admin(array $params): string
{
    return ($params['username'] ?? '') ?: 'admin';
}
