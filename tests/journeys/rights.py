"""The table of rights, once more by hand: which right each served operation wants (conventions section 2)."""

from __future__ import annotations

from acsmpd.spec.operation import Access

_WORDS = {
    Access.OPEN: """
        acsmp: public_key
        plain: healthz readyz openapi_json
    """,
    Access.CREDENTIALS: """
        acsmp: register_compute unregister_compute login
    """,
    Access.KEEPALIVE: """
        acsmp: keepalive_compute
    """,
    Access.LINK: """
        acsmp: download_package download_program download_license download_picture
    """,
    Access.RESULT: """
        acsmp: receive_result
    """,
    Access.SELF: """
        acsmp: logout change_password
    """,
    Access.READ: """
        acsmp: search_algo_file_packages get_algo_file_package search_algo_defs get_algo_def
            search_device_algo_packages get_device_algo_package search_algo_services get_algo_service
            search_tasks get_task search_task_instances get_task_instance search_auth_servers
            get_auth_server get_auth_quota search_licenses get_license get_license_quota get_computility
            search_computility system_info search_alarms get_package_import show_computility
            search_foreign_tasks search_results get_result get_result_image computility_history
            computility_statistics list_allocations list_schedule_policies list_rollouts get_rollout
            service_statistics list_evaluations get_evaluation list_pipelines get_pipeline
            search_pipeline_runs
            list_capture_devices search_capture_devices list_capture_sources list_media_files
            get_upstream
    """,
    Access.OPERATE: """
        acsmp: push_algo_package_to_device delete_algo_package_from_device install_algo_service
            uninstall_algo_service create_task update_task delete_task start_task stop_task
            create_task_instances update_task_instance delete_task_instance start_task_instances
            stop_task_instances adopt_foreign_task delete_foreign_task update_algo_service
            create_schedule_policy update_schedule_policy delete_schedule_policy create_rollout
            delete_rollout pause_rollout resume_rollout create_evaluation delete_evaluation
            create_pipeline update_pipeline delete_pipeline import_media_file delete_media_file
            replay_results
    """,
    Access.ADMIN: """
        acsmp: register_auth_server delete_auth_server update_auth_server import_license delete_license
            update_computility get_settings update_settings import_capture_devices create_capture_source
            update_capture_source delete_capture_source
    """,
    Access.PACKAGES: """
        acsmp: import_algo_file_package delete_algo_file_package cancel_package_import
    """,
    Access.SECURITY: """
        acsmp: create_api_key list_api_keys delete_api_key list_users create_user get_user update_user
            delete_user list_roles
    """,
    Access.AUDIT: """
        acsmp: search_logs export_logs
    """,
    Access.FACE: """
        cad: get_device_status push_algo_file_package delete_algo_file_package install_algo_package
            uninstall_algo_package list_algo_packages get_algo_package create_algo_task update_algo_task
            delete_algo_task resume_algo_task pause_algo_task search_algo_tasks get_algo_task
    """,
    Access.SITE_FACE: """
        cap: get_cap_status push_algo_file_package delete_algo_file_package search_algo_file_packages
            get_algo_file_package push_exec_file create_algo_service delete_algo_service
            search_algo_services get_algo_service create_algo_task update_algo_task delete_algo_task
            resume_algo_task pause_algo_task search_algo_tasks get_algo_task
    """,
}


def _read(text: str) -> list[str]:
    """`face: operation operation ...` as ids."""
    ids, face = [], ""
    for word in text.split():
        if word.endswith(":"):
            face = word[:-1]
        else:
            ids.append(f"{face}.{word}")
    return ids


WANTED: dict[str, Access] = {name: access for access, text in _WORDS.items() for name in _read(text)}
